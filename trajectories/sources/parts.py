"""Parts of the input that can be read on their own: whole files, or whole lines of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajectories.sources.lines import Span

PART_BYTES = 2 * 2**20  # at least, of a part of a file
_BLOCK = 2**20
_LINES = 100


@dataclass(frozen=True, kw_only=True)
class Part:
    """Files in their order, or some of the lines of one file."""

    files: tuple[Path, ...]
    span: Span | None = None  # None: whole files
    recognised: tuple[str, str] | None = None  # for lines: the origin and format of the document before them

    @property
    def starts_inside(self) -> bool:
        """Return whether lines of the same file come before it."""
        return self.span is not None and self.span.start > 0


def spans(path: Path) -> Iterator[Span]:
    """Yield the lines of a file in parts. Each ends before a line that begins an object."""
    start, line = 0, 1  # of the next part
    at, lines = 0, 1  # of the next block
    with path.open("rb", buffering=0) as raw:
        while block := raw.read(_BLOCK):
            cut = _last_object(block) if at + len(block) - start >= PART_BYTES else 0
            if cut:
                yield Span(start=start, stop=at + cut, line=line)
                start, line = at + cut, lines + _newlines(block[:cut])
            at, lines = at + len(block), lines + _newlines(block)
    yield Span(start=start, stop=at, line=line, is_last=True)


def _last_object(block: bytes) -> int:
    """Return where a line that begins an object begins, one of the last ones of a block; 0 if there is none."""
    end = len(block)
    for _ in range(_LINES):
        end = block.rfind(b"\n", 0, end)
        if end < 0:
            return 0
        if block.startswith(b"{", end + 1):
            return end + 1
    return 0


def _newlines(block: bytes) -> int:
    """Count the lines of a block. Finding is faster than ``count`` if they are long, as those of trajectories are."""
    end = -1
    for number in range(_LINES):
        end = block.find(b"\n", end + 1)
        if end < 0:
            return number
    return _LINES + block.count(b"\n", end + 1)
