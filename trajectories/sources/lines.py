"""The lines of a stream, and the documents that extend over several of them."""

from collections import deque
from dataclasses import dataclass
from typing import IO

from trajectories.pointers import unfetched

PARQUET = b"PAR1"
_CHUNK = 2**20
_CLOSING = {b"{": b"}", b"[": b"]"}


@dataclass(frozen=True, kw_only=True)
class Span:
    """Whole lines of a file."""

    start: int  # in bytes
    stop: int
    line: int  # number of the first one, from 1
    is_last: bool = False  # whether it ends with the file


class CutDocument(Exception):
    """A document may extend over the end of a span."""


class Lines:
    """The lines of a stream in turn, each of at most ``limit`` bytes. Lines may be put back."""

    def __init__(
        self, stream: IO[bytes], limit: int, first: bytes = b"", *, span: Span | None = None
    ) -> None:
        """``first``: a line that was already read, or empty. ``span``: the lines that the stream has come to."""
        self._stream = stream
        self.limit = limit
        self._back = deque([first] if first else [])
        self._left = None if span is None else span.stop - span.start  # bytes to read
        self._is_cut = span is not None and not span.is_last

    def next(self) -> bytes:
        """Return the next line, empty at the end; of a longer line one byte more than the limit."""
        return self._back.popleft() if self._back else self._read(self.limit + 1)

    def _read(self, size: int) -> bytes:
        if self._left is None:
            return self._stream.readline(size)
        line = self._stream.readline(min(size, self._left))
        self._left -= len(line)
        return line

    def is_too_long(self, line: bytes) -> bool:
        return len(line) > self.limit and not line.endswith(b"\n")

    def skip_rest(self) -> int:
        """Skip the rest of a line that is too long, in pieces. Return its number of bytes."""
        size = 0
        while chunk := self._read(_CHUNK):
            size += len(chunk)
            if chunk.endswith(b"\n"):
                break
        return size

    def put_back(self, lines: list[bytes]) -> None:
        self._back.extendleft(reversed(lines))

    def at_end(self) -> bool:
        """Return whether only blank lines follow."""
        lines: list[bytes] = []
        while line := self.next():
            lines.append(line)
            if line.strip():
                self.put_back(lines)
                return False
        return True

    def rest_of_document(self, first: bytes) -> list[bytes]:
        """Return the lines up to the one that closes the bracket which begins ``first``, none if none does.

        The closing bracket begins a line, as every printer of JSON writes it. A line that begins like ``first`` is the
        next document: ``first`` was cut off. Raises CutDocument.
        """
        opening = first[:1]
        closing = _CLOSING.get(opening)
        lines: list[bytes] = []
        size = len(first)
        while closing and (line := self.next()):
            lines.append(line)
            size += len(line)
            if line.startswith(closing):
                return lines
            if line.startswith(opening) or size > self.limit:
                break
        else:
            # Behind the end of the span an object begins; of the objects of a list there may be more.
            if self._is_cut and opening == b"[":
                raise CutDocument
        self.put_back(lines)
        return []


def refusal(first: bytes) -> tuple[str, str] | None:
    """Return reason and detail if the first line of a file says that it holds no JSON to read."""
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "not_utf8", "UTF-16 or UTF-32; write it anew as UTF-8"
    if first.startswith(PARQUET):
        return "packed_parquet", "unpack it: it is not read as a stream"
    if detail := unfetched(first):
        return "not_fetched", detail
    if first[:100].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "not_json", "a web page; download the file itself"
    return None
