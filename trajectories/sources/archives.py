"""The members of tar and zip archives, one at a time; nothing is ever unpacked to disk."""

import struct
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, cast

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # with members, empty
# Errors that zipfile raises for a wrong header.
_BAD_HEADER = (struct.error, NotImplementedError, ValueError, OverflowError)
_ENCRYPTED = 0x1  # bit of a zip member's flags


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


def zip_members(stream: IO[bytes]) -> Iterator[Member]:
    """Yield the files of a zip archive. ``stream`` must be seekable. Raises zipfile.BadZipFile."""
    try:
        archive = zipfile.ZipFile(stream)
    except _BAD_HEADER as error:
        raise zipfile.BadZipFile(str(error)) from error
    with archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            if info.flag_bits & _ENCRYPTED:
                yield Member(path=info.filename, problem=("encrypted", "unpack it with its password"))
                continue
            try:
                body = archive.open(info)
            except NotImplementedError as error:  # a compression that Python does not have
                yield Member(path=info.filename, problem=("unknown_compression", str(error)))
            except (zipfile.BadZipFile, EOFError, *_BAD_HEADER) as error:
                yield Member(path=info.filename, problem=("damaged_member", str(error)))
            else:
                with body:
                    yield Member(path=info.filename, body=body)
