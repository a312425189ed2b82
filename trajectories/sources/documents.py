"""From paths to JSON documents, one at a time: folders, archives, compression, JSON, JSON Lines and tables."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, cast

from trajectories.fast_json import loads
from trajectories.sources.archives import Member, is_tar, is_zip, tar_members, zip_members
from trajectories.sources.eval_logs import as_log, header_of, is_eval_log, sample_members
from trajectories.sources.hub import HubFile, hub_error, hub_set
from trajectories.sources.lines import PARQUET, Lines, Span, refusal
from trajectories.sources.paths import (
    ARCHIVES,
    COMPRESSIONS,
    is_candidate,
    is_hub_name,
    strip_endings,
    why_not_a_file,
)
from trajectories.sources.tables import TableError, TableRow, parquet_rows
from trajectories.sources.zstandard import MAGIC as ZSTANDARD
from trajectories.sources.zstandard import zstd_stream
from trajectories.types import JSON

DEFAULT_LIMIT = 64 * 2**20  # bytes of one line, or of one document that spans lines
_BUFFER = 2**18  # of a file: lines are long
_AT_ONCE = 2**23  # bytes of a span that are read at once
_BOM = b"\xef\xbb\xbf"
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True)
class Document:
    """One JSON value and its source."""

    value: JSON
    origin: str  # the file, or archive!member
    line: int | None = None  # from 1, of JSON Lines; of a table the row
    tasks: Mapping[str, str] | None = None  # by instance id, for trajectories without a task

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

    def task_name(self, number: int | None) -> str | None:
        """Return a name for a task that its set only numbers, None for none."""
        return None if number is None else f"{strip_endings(self.path.name)}#task-{number}"


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


def read_documents(
    path: Path,
    *,
    limit: int = DEFAULT_LIMIT,
    on_bytes: Callable[[int], None] = lambda position: None,
    span: Span | None = None,
) -> Iterator[Item]:
    """Stream the documents of a file, the members of an archive, or the rows of a table.

    gzip, xz, bzip2, Zstandard, tar, zip and Parquet are detected from their first bytes. An unreadable part becomes
    a Failure, and reading continues after it if possible. ``on_bytes`` receives the position in the file on disk.
    ``span``: only these lines of a file of JSON Lines; raises CutDocument.
    """
    name = str(path)
    if is_hub_name(path):
        yield from _read_hub(path, limit)
        return
    if problem := why_not_a_file(path):
        yield Failure(reason=problem[0], detail=problem[1], origin=name)
        return
    try:
        with path.open("rb", buffering=_BUFFER) as raw:
            for item in _read_span(raw, name, limit, span) if span else _read_file(raw, name, limit):
                yield item
                on_bytes(raw.tell())
    except _DAMAGED as error:
        yield _damaged("damaged_archive", error, name)
    except OSError as error:
        yield Failure(reason="unreadable", detail=error.strerror or str(error), origin=name)


def _read_hub(path: Path, limit: int) -> Iterator[Item]:
    """Read the files of a data set, each as its own origin, or its rows."""
    try:
        found = hub_set(path)
    except TableError as error:
        yield Failure(reason="unreadable", detail=str(error), origin=str(path))
        return
    if not found.files:
        yield from _read_rows(found.rows(), str(path), limit)
    for file in found.files:
        origin = f"{path}!{file.path}"
        try:
            with file.open() as raw:
                for item in _read_file(raw, origin, limit):
                    yield _under_key(item, file)
        except _DAMAGED as error:
            yield _damaged("damaged_archive", error, origin)
        except Exception as error:  # the hub's client raises many kinds
            yield Failure(reason="unreadable", detail=str(hub_error(path, error)), origin=origin)


def _under_key(item: Item, file: HubFile) -> Item:
    """Return the part of a document that holds the rows."""
    if file.key is None or isinstance(item, Failure):
        return item
    if isinstance(item.value, dict) and file.key in item.value:
        return replace(item, value=item.value[file.key])
    detail = f"no key {file.key!r}, which the set's README names as the one of its rows"
    return Failure(reason="no_rows", detail=detail, origin=item.origin, line=item.line)


def _damaged(reason: str, error: Exception, origin: str) -> Failure:
    detail = f"{type(error).__name__}: {error}; the part before this was read"
    return Failure(reason=reason, detail=detail, origin=origin)


def _read_span(raw: IO[bytes], name: str, limit: int, span: Span) -> Iterator[Item]:
    raw.seek(span.start)
    size = span.stop - span.start
    stream = io.BytesIO(raw.read(size)) if size <= _AT_ONCE else raw
    yield from _read_lines(Lines(stream, limit, span=span), name, span.line)


def _read_file(raw: IO[bytes], name: str, limit: int) -> Iterator[Item]:
    stream = _decompressed(raw)
    head = stream.read(512)
    stream.seek(0)
    if is_tar(head):
        yield from _read_members(tar_members(stream), name, limit)
    elif is_zip(head) and is_eval_log(name):
        header = header_of(stream, limit)
        for item in _read_members(sample_members(stream), name, limit):
            yield replace(item, value=as_log(header, item.value)) if isinstance(item, Document) else item
    elif is_zip(head):
        yield from _read_members(zip_members(stream), name, limit)
    elif head.startswith(PARQUET) and stream is raw:
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
                detail = f"{row.size} characters, the limit is {limit} (--max-mb)"
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
    if magic.startswith(ZSTANDARD):
        return zstd_stream(raw)
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
                yield _damaged("damaged_member", error, origin)
    if not found:
        yield Failure(reason="empty", origin=name)


def _read_member(body: IO[bytes], origin: str, base: str, limit: int) -> Iterator[Item]:
    # A member of a stream cannot be rewound, so its name determines its compression.
    if base.endswith(ARCHIVES) or base.endswith(tuple(f".tar{e}" for e in COMPRESSIONS)):
        yield Failure(reason="nested_archive", detail="unpack the outer one first", origin=origin)
    elif base.endswith(".gz"):
        yield from _read_stream(cast(IO[bytes], gzip.GzipFile(fileobj=body)), origin, limit)
    elif base.endswith(".xz"):
        yield from _read_stream(cast(IO[bytes], lzma.LZMAFile(body)), origin, limit)  # noqa: SIM115
    elif base.endswith(".bz2"):
        yield from _read_stream(cast(IO[bytes], bz2.BZ2File(body)), origin, limit)
    elif base.endswith(".zst"):
        yield from _read_stream(zstd_stream(body), origin, limit)
    else:
        yield from _read_stream(body, origin, limit)


def _read_stream(stream: IO[bytes], origin: str, limit: int) -> Iterator[Item]:
    """Read JSON Lines if the ending says so or the first line is a whole JSON value; else one document."""
    first = stream.readline(limit + 1)
    if refused := refusal(first):
        yield Failure(reason=refused[0], detail=refused[1], origin=origin)
        return
    first = first.removeprefix(_BOM)
    if _ending(origin) in (".jsonl", ".ndjson"):
        yield from _read_lines(Lines(stream, limit, first), origin, 1)
        return
    number = 1
    while first and not first.strip() and len(first) <= limit:
        first, number = stream.readline(limit + 1), number + 1
    if first.strip() and len(first) <= limit and isinstance(head := _parse(first, origin, None), Document):
        yield head
        yield from _read_lines(Lines(stream, limit), origin, number + 1)
        return
    body = first + stream.read(limit + 1 - len(first)) if len(first) <= limit else first
    if len(body) > limit:
        detail = f"more than {limit} bytes; write one row a line (.jsonl), or raise --max-mb"
        yield Failure(reason="too_large", detail=detail, origin=origin)
    elif not body.strip():
        yield Failure(reason="empty", origin=origin)
    else:
        yield from _read_whole(body, origin, limit, number)


def _read_whole(body: bytes, origin: str, limit: int, number: int) -> Iterator[Item]:
    """Read one document, or else several that follow each other, from line ``number`` on."""
    whole = _parse(body, origin, None)
    if isinstance(whole, Failure):
        several = list(_read_lines(Lines(io.BytesIO(body), limit), origin, number))
        documents = sum(
            isinstance(item, Document) and isinstance(item.value, dict | list) for item in several
        )
        if documents and 2 * documents >= len(several):
            yield from several
            return
    yield whole


def _ending(origin: str) -> str:
    path = PurePosixPath(origin)
    return path.with_suffix("").suffix if path.suffix in COMPRESSIONS else path.suffix


def _read_lines(lines: Lines, origin: str, number: int) -> Iterator[Item]:
    """Read documents from line ``number`` on, of which one may extend over several lines."""
    found = number > 1
    while line := lines.next():
        more: list[bytes] = []
        if lines.is_too_long(line):
            detail = f"{len(line) + lines.skip_rest()} bytes, the limit is {lines.limit} (--max-mb)"
            yield Failure(reason="line_too_long", detail=detail, origin=origin, line=number)
            found = True
        elif not line.isspace():
            item = _parse(line, origin, number)
            if isinstance(item, Failure) and (more := lines.rest_of_document(line)):
                item, more = _longer(item, line, more, lines)
            is_list = isinstance(item, Document) and isinstance(item.value, list)
            if (more or is_list) and not found and lines.at_end():
                item = replace(item, line=None)  # the only document of the file
            yield item
            found = True
        number += 1 + len(more)
    if not found:
        yield Failure(reason="empty", origin=origin)


def _longer(failure: Failure, line: bytes, more: list[bytes], lines: Lines) -> tuple[Item, list[bytes]]:
    """Return the document of several lines and those after its first, or put them back."""
    whole = _parse(line + b"".join(more), failure.origin, failure.line)
    if isinstance(whole, Document):
        return whole, more
    lines.put_back(more)
    return failure, []


def _parse(data: bytes, origin: str, line: int | None) -> Document | Failure:
    """Parse UTF-8 only: json.loads would guess UTF-16 and UTF-32 from bytes."""
    try:
        return Document(value=loads(data.removeprefix(_BOM)), origin=origin, line=line)
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} is not UTF-8: {error.reason}"
        return Failure(reason="not_utf8", detail=detail, origin=origin, line=line)
    except RecursionError:
        return Failure(reason="not_json", detail="nested too deeply", origin=origin, line=line)
    except ValueError as error:  # JSONDecodeError, or a number of thousands of digits
        return Failure(reason="not_json", detail=str(error), origin=origin, line=line)
