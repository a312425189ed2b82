"""The parts of the input that worker processes read."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from trajectories.fast_json import loads
from trajectories.readers.detect import UnknownFormat, detect
from trajectories.readers.pipeline import GROUPED
from trajectories.sources.archives import is_tar
from trajectories.sources.parts import PART_BYTES, Part, spans
from trajectories.sources.paths import ARCHIVES, COMPRESSIONS, is_hub_name

_PACKED = (*ARCHIVES, *COMPRESSIONS, ".parquet")
_UNPACKED = 8  # times as large as packed, roughly


def size_of(path: Path) -> int:
    """Return roughly the bytes of a file when it is unpacked; 0 if it does not exist here."""
    size = path.stat().st_size if path.is_file() else 0
    return size * _UNPACKED if path.name.endswith(_PACKED) else size


def plan(files: Iterable[Path], *, format_name: str | None, limit: int) -> Iterator[Part]:
    """Yield these files in parts, in their order: small files together, large ones of JSON Lines in spans."""
    batch: list[Path] = []
    size = 0
    for path in files:
        own = size_of(path)
        # The files of a folder may be one trajectory.
        enough = 2 * PART_BYTES if batch and path.parent == batch[-1].parent else PART_BYTES
        if batch and size + own > enough:
            yield Part(files=tuple(batch))
            batch, size = [], 0
        name = _row_format(path, format_name, limit) if own > 2 * PART_BYTES else None
        if name is None:
            batch, size = [*batch, path], size + own
            continue
        if batch:
            yield Part(files=tuple(batch))
            batch, size = [], 0
        yield from (Part(files=(path,), span=span, recognised=(str(path), name)) for span in spans(path))
    if batch:
        yield Part(files=tuple(batch))


def _row_format(path: Path, format_name: str | None, limit: int) -> str | None:
    """Return the format of a plain file of JSON Lines if its first line is a row of one, which needs no other line."""
    if not path.name.endswith((".jsonl", ".ndjson")) or is_hub_name(path):
        return None
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        line = file.readline(limit + 1)
    if not head.startswith(b"{") or is_tar(head):
        return None
    try:
        name = format_name or detect(loads(line)).name
    except (UnknownFormat, ValueError, RecursionError):
        return None
    return None if name in GROUPED else name
