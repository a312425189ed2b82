"""The members of tar and zip archives, one at a time; nothing is ever unpacked to disk."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from trajectories.sources.zstandard import zstd_stream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # with members, empty
# Errors that zipfile raises for a wrong header.
_BAD_HEADER = (struct.error, NotImplementedError, ValueError, OverflowError)
_ENCRYPTED = 0x1  # bit of a zip member's flags
_ZSTANDARD = 93  # compression of a member; Inspect's logs have it, zipfile before Python 3.14 does not
# The header before the bytes of a member; the lengths of its name and of its extra field come last.
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file of an archive. Its path is only a name, wherever it points."""

    path: str
    body: IO[bytes] | None = None  # must be read before the next member is requested
    problem: tuple[str, str] = ("", "")  # without a body: reason and detail

    @property
    def base(self) -> str:
        return PurePosixPath(self.path).name


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def is_zip(head: bytes) -> bool:
    return head.startswith(_ZIP)


def tar_members(stream: IO[bytes]) -> Iterator[Member]:
    """Yield the files of a tar archive. Raises tarfile.TarError where it is damaged."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for info in archive:
            if info.isfile():
                yield Member(path=info.name, body=cast(IO[bytes], archive.extractfile(info)))


def zip_members(stream: IO[bytes], wanted: Callable[[str], bool] = lambda path: True) -> Iterator[Member]:
    """Yield the files of a zip archive; of a path that was written twice, the later file.

    ``stream`` must be seekable. ``wanted`` chooses by the path. Raises zipfile.BadZipFile.
    """
    try:
        archive = zipfile.ZipFile(stream)
    except _BAD_HEADER as error:
        raise zipfile.BadZipFile(str(error)) from error
    with archive:
        for info in {info.filename: info for info in archive.infolist()}.values():
            if info.is_dir() or not wanted(info.filename):
                continue
            if info.flag_bits & _ENCRYPTED:
                yield Member(path=info.filename, problem=("encrypted", "unpack it with its password"))
                continue
            try:
                body = _open(stream, archive, info)
            except NotImplementedError as error:  # a compression that Python does not have
                yield Member(path=info.filename, problem=("unknown_compression", str(error)))
            except (zipfile.BadZipFile, EOFError, *_BAD_HEADER) as error:
                yield Member(path=info.filename, problem=("damaged_member", str(error)))
            else:
                with body:
                    yield Member(path=info.filename, body=body)


def _open(stream: IO[bytes], archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """Open a member. Raises what zipfile raises."""
    if info.compress_type != _ZSTANDARD:
        return archive.open(info)
    stream.seek(info.header_offset)
    header = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + header[-2] + header[-1]
    return zstd_stream(cast(IO[bytes], io.BufferedReader(_Slice(stream, start, info.compress_size))))


class _Slice(io.RawIOBase):
    """A part of a stream that is seekable."""

    def __init__(self, stream: IO[bytes], start: int, size: int) -> None:
        self._stream = stream
        self._at = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        self._stream.seek(self._at)
        data = self._stream.read(min(len(view), self._end - self._at))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
