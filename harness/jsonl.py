"""JSON Lines that a killed process may have cut off: read them, append to them, drop a torn last line."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.cli import UserError
from trajectories.pointers import unfetched
from trajectories.store import atomic_write
from trajectories.types import JSON

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class JsonLine:
    """One object of a file."""

    where: str  # file:line, for messages
    offset: int  # of the line, in bytes
    fields: dict[str, JSON]

    def get(self, key: str, convert: Callable[[JSON], T]) -> T:
        """Return a field, converted. Raises UserError naming file and line if it is missing or malformed."""
        if key not in self.fields:
            raise UserError(f"{self.where}: the line lacks {key!r}")
        try:
            return convert(self.fields[key])
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{self.where}: {key!r} is {self.fields[key]!r:.80}: {error}") from error


def read_objects(
    path: Path, *, on_torn_line: Callable[[int], object] = lambda number: None
) -> Iterator[JsonLine]:
    """Yield the objects of a file, nothing if there is no file.

    A last line that a kill cut off is skipped; ``on_torn_line`` gets its number. Raises UserError naming file and line.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:
        end = 0
        for number, text in enumerate(lines, 1):
            offset, end = end, end + len(text)
            if not text.strip():
                continue
            where = f"{path}:{number}"
            try:
                fields = json.loads(text)
            except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
                if not text.endswith(b"\n"):
                    on_torn_line(number)
                    return
                raise UserError(f"{where}: {unfetched(text) or f'not JSON: {error}'}") from error
            if not isinstance(fields, dict):
                raise UserError(f"{where}: not a JSON object but {type(fields).__name__}")
            yield JsonLine(where=where, offset=offset, fields=fields)


def read_rows(path: Path) -> list[dict[str, JSON]]:
    """Return the objects of a file, none if there is no file; without a torn last line. Raises UserError."""
    return [line.fields for line in read_objects(path)]


def append_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Append objects; they are handed to the operating system when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")


def write_json(path: Path, table: Mapping[str, object]) -> None:
    """Replace a file by one JSON object. Raises ValueError for NaN and infinities, which JSON lacks."""
    with atomic_write(path) as out:
        out.write(json.dumps(table, indent=2, allow_nan=False) + "\n")


def drop_torn_line(path: Path) -> None:
    """Remove a last line without its newline, as a kill leaves it, so that appended rows start a new line."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
