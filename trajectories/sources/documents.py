"""From paths to JSON documents, one at a time: folders, archives, compression, JSON, JSON Lines and tables."""

import bz2
import gzip
import json
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from trajectories.sources.archives import Member, is_tar, is_zip, tar_members, zip_members
from trajectories.sources.tables import HUB, TableError, TableRow, hub_rows, parquet_rows
from trajectories.types import JSON

DEFAULT_LIMIT = 64 * 2**20  # bytes of one line, or of one document that spans lines
_CHUNK = 2**20
_PARQUET = b"PAR1"
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson", ".traj")
_TABLE_ENDINGS = (".parquet",)
_ARCHIVE_ENDINGS = (".tar", ".tgz", ".txz", ".tbz2", ".zip")
_COMPRESSION_ENDINGS = (".gz", ".xz", ".bz2")
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(:[^@/]+)?(@[^/]+)?")  # owner/name[:config][@split]
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True)
class Document:
    """One JSON value and its source."""

    value: JSON
    origin: str  # the file, or archive!member
    line: int | None = None  # from 1, of JSON Lines; of a table the row

    @property
    def position(self) -> str:
        return self.origin if self.line is None else f"{self.origin}:{self.line}"

    @property
    def path(self) -> PurePosixPath:
        """Return the path of the file or member."""
        return PurePosixPath(self.origin.rpartition("!")[2])

    @property
    def name(self) -> str:
        """Return the file's name without its endings, with the line number if it holds several documents."""
        name = strip_endings(self.path.name)
        return name if self.line is None else f"{name}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A file, member or line that could not be read as JSON."""

    reason: str
    detail: str = ""
    origin: str
    line: int | None = None  # None: the whole file or member is lost

    @property
    def position(self) -> str:
        where = self.origin if self.line is None else f"{self.origin}:{self.line}"
        return f"{where}: {self.detail}" if self.detail else where


Item = Document | Failure


def strip_endings(name: str) -> str:
    """Return a file's name without its endings.

    >>> strip_endings("a__b-1.traj.json.gz"), strip_endings("acme__w.1a2b3c4d.pr_7.traj")
    ('a__b-1', 'acme__w.1a2b3c4d.pr_7')
    """
    endings = _COMPRESSION_ENDINGS + _JSON_ENDINGS
    while (ending := PurePosixPath(name).suffix) in endings and name != ending:
        name = name.removesuffix(ending)
    return name


def find_files(paths: Iterable[Path], *, exclude: Iterable[Path] = ()) -> list[Path]:
    """Return the files under these paths, folders searched recursively in sorted order, each once.

    Hidden files of folders are skipped, names of the hub (see :func:`is_hub_name`) stay as they are. Raises
    FileNotFoundError for any other path that does not exist.
    """
    seen = {path.resolve() for path in exclude}
    found = []
    for path in paths:
        if is_hub_name(path):
            found.append(path)
            continue
        if not path.exists():
            raise FileNotFoundError(2, "no such file or folder", str(path))
        for file in _walk(path) if path.is_dir() else [path]:
            if (real := file.resolve()) not in seen:
                seen.add(real)
                found.append(file)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here) / name for name in sorted(names) if not name.startswith("."))


def is_candidate(name: str) -> bool:
    """Return whether files of trajectories have such names. Files that the user named need no such check."""
    for ending in _COMPRESSION_ENDINGS:
        name = name.removesuffix(ending)
    return name.endswith(_JSON_ENDINGS + _ARCHIVE_ENDINGS + _TABLE_ENDINGS)


def is_hub_name(path: Path) -> bool:
    """Return whether a path names a data set of the hub: ``[hf:]owner/name[:config][@split]``.

    Without ``hf:`` an existing local path and the ending of a data file come first. With it a local folder of data may
    take the place of ``owner/name``.

    >>> is_hub_name(Path("acme/steps@train")), is_hub_name(Path("acme/steps.jsonl")), is_hub_name(Path("steps"))
    (True, False, False)
    """
    name = str(path)
    if name.startswith(HUB):
        return True
    return _HUB_NAME.fullmatch(name) is not None and not is_candidate(name) and not path.exists()


def read_documents(
    path: Path, *, limit: int = DEFAULT_LIMIT, on_bytes: Callable[[int], None] = lambda position: None
) -> Iterator[Item]:
    """Stream the documents of a file, the members of an archive, or the rows of a table.

    gzip, xz, bzip2, tar, zip and Parquet are detected from their first bytes. An unreadable part becomes a Failure,
    and reading continues after it if possible. ``on_bytes`` receives the position in the file on disk.
    """
    name = str(path)
    if is_hub_name(path):
        yield from _read_rows(hub_rows(path), name, limit)
        return
    try:
        with path.open("rb") as raw:
            for item in _read_file(raw, name, limit):
                yield item
                on_bytes(raw.tell())
    except _DAMAGED as error:
        detail = f"{type(error).__name__}: {error}; the part before this was read"
        yield Failure(reason="damaged_archive", detail=detail, origin=name)
    except OSError as error:
        yield Failure(reason="unreadable", detail=error.strerror or str(error), origin=name)


def _read_file(raw: IO[bytes], name: str, limit: int) -> Iterator[Item]:
    stream = _decompressed(raw)
    head = stream.read(512)
    stream.seek(0)
    if is_tar(head):
        yield from _read_members(tar_members(stream), name, limit)
    elif is_zip(head):
        yield from _read_members(zip_members(stream), name, limit)
    elif head.startswith(_PARQUET) and stream is raw:
        yield from _read_rows(parquet_rows(raw), name, limit)
    else:
        yield from _read_stream(stream, name, limit)


def _read_rows(rows: Iterator[TableRow], name: str, limit: int) -> Iterator[Item]:
    """Read the rows of a table, each split of a data set as its own origin."""
    origin, found = name, False
    try:
        for row in rows:
            found = True
            origin = f"{name}!{row.table}" if row.table else name
            if row.size > limit:
                detail = f"{row.size} characters, the limit is {limit}"
                yield Failure(reason="line_too_long", detail=detail, origin=origin, line=row.number)
            else:
                yield Document(value=row.value, origin=origin, line=row.number)
    except TableError as error:
        yield Failure(reason="unreadable", detail=str(error), origin=origin)
        return
    if not found:
        yield Failure(reason="empty", origin=name)


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if magic.startswith(b"\xfd7zXZ\x00"):
        return cast(IO[bytes], lzma.LZMAFile(raw))
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(raw))
    return raw


def _read_members(members: Iterator[Member], name: str, limit: int) -> Iterator[Item]:
    found = False
    for member in members:
        origin = f"{name}!{member.path}"
        if member.base.startswith("."):
            continue
        found = True
        if not is_candidate(member.base):
            yield Failure(reason="not_a_data_file", origin=origin)
        elif member.body is None:
            reason, detail = member.problem
            yield Failure(reason=reason, detail=detail, origin=origin)
        else:
            try:
                yield from _read_member(member.body, origin, member.base, limit)
            except (*_DAMAGED, OSError) as error:
                if isinstance(error, OSError) and error.errno:
                    raise  # of the disk; bzip2 reports damage as an OSError without a number
                # The next member of a zip is fine; a truncated tar fails again when the next one is requested.
                detail = f"{type(error).__name__}: {error}; the part before this was read"
                yield Failure(reason="damaged_member", detail=detail, origin=origin)
    if not found:
        yield Failure(reason="empty", origin=name)


def _read_member(body: IO[bytes], origin: str, base: str, limit: int) -> Iterator[Item]:
    # A member of a stream cannot be rewound, so its name determines its compression.
    if base.endswith(_ARCHIVE_ENDINGS) or base.endswith(tuple(f".tar{e}" for e in _COMPRESSION_ENDINGS)):
        yield Failure(reason="nested_archive", detail="unpack the outer one first", origin=origin)
    elif base.endswith(".gz"):
        yield from _read_stream(cast(IO[bytes], gzip.GzipFile(fileobj=body)), origin, limit)
    elif base.endswith(".xz"):
        yield from _read_stream(cast(IO[bytes], lzma.LZMAFile(body)), origin, limit)  # noqa: SIM115
    elif base.endswith(".bz2"):
        yield from _read_stream(cast(IO[bytes], bz2.BZ2File(body)), origin, limit)
    else:
        yield from _read_stream(body, origin, limit)


def _read_stream(stream: IO[bytes], origin: str, limit: int) -> Iterator[Item]:
    """Read JSON Lines if the ending says so or the first line is a whole JSON value; else one document."""
    first = stream.readline(limit + 1)
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield Failure(reason="not_utf8", detail="UTF-16 or UTF-32; write it anew as UTF-8", origin=origin)
        return
    if first.startswith(_PARQUET):
        yield Failure(reason="packed_parquet", detail="unpack it: it is not read as a stream", origin=origin)
        return
    first = first.removeprefix(b"\xef\xbb\xbf")
    if _ending(origin) in (".jsonl", ".ndjson"):
        yield from _read_lines(first, stream, origin, limit, 1)
        return
    if first.strip() and len(first) <= limit and isinstance(head := _parse(first, origin, None), Document):
        yield head
        yield from _read_lines(b"", stream, origin, limit, 2)
        return
    body = first + stream.read(limit + 1 - len(first)) if len(first) <= limit else first
    if len(body) > limit:
        yield Failure(reason="too_large", detail=f"more than {limit} bytes", origin=origin)
    elif not body.strip():
        yield Failure(reason="empty", origin=origin)
    else:
        yield _parse(body, origin, None)


def _ending(origin: str) -> str:
    path = PurePosixPath(origin)
    return path.with_suffix("").suffix if path.suffix in _COMPRESSION_ENDINGS else path.suffix


def _read_lines(first: bytes, stream: IO[bytes], origin: str, limit: int, number: int) -> Iterator[Item]:
    """Read lines. ``first`` is a line already read, or empty. A line over the limit is skipped in pieces."""
    found = number > 1
    line = first or stream.readline(limit + 1)
    while line:
        if len(line) > limit and not line.endswith(b"\n"):
            size = len(line)
            while chunk := stream.readline(_CHUNK):
                size += len(chunk)
                if chunk.endswith(b"\n"):
                    break
            detail = f"{size} bytes, the limit is {limit}"
            yield Failure(reason="line_too_long", detail=detail, origin=origin, line=number)
            found = True
        elif line.strip():
            yield _parse(line, origin, number)
            found = True
        number += 1
        line = stream.readline(limit + 1)
    if not found:
        yield Failure(reason="empty", origin=origin)


def _parse(data: bytes, origin: str, line: int | None) -> Document | Failure:
    """Parse UTF-8 only: json.loads would guess UTF-16 and UTF-32 from bytes."""
    try:
        return Document(value=json.loads(data.decode("utf-8")), origin=origin, line=line)
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} is not UTF-8: {error.reason}"
        return Failure(reason="not_utf8", detail=detail, origin=origin, line=line)
    except RecursionError:
        return Failure(reason="not_json", detail="nested too deeply", origin=origin, line=line)
    except ValueError as error:  # JSONDecodeError, or a number of thousands of digits
        return Failure(reason="not_json", detail=str(error), origin=origin, line=line)
