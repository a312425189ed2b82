"""Zstandard streams, which the standard library reads from Python 3.14 on only."""

import io
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = b"\x28\xb5\x2f\xfd"


def zstd_stream(packed: IO[bytes]) -> IO[bytes]:
    """Return the unpacked bytes of a stream, to be read from its start. Reading raises EOFError where it is damaged."""
    return cast(IO[bytes], io.BufferedReader(_Unpacked(packed)))


class _Unowned:
    """A stream that pyarrow, which closes what it reads, leaves open."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self.read = stream.read

    def close(self) -> None:
        pass


class _Unpacked(io.RawIOBase):
    """The only seek is to the start."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._open()

    def _open(self) -> None:
        import pyarrow

        self._stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(_Unowned(self._packed), "r"), "zstd")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._stream.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset or whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a Zstandard stream is read from its start only")
        self._packed.seek(0)
        self._open()
        return 0

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._stream.read(len(view))
        except OSError as error:
            if error.errno:
                raise  # of the disk
            raise EOFError(f"Zstandard: {error}") from error
        view[: len(data)] = data
        return len(data)
