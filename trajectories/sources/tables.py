"""Rows of Parquet files, streamed."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import IO

from trajectories.types import JSON, JSONObject

Decoder = Callable[[JSON], JSON]

_BATCH = 16  # rows decoded at once
_BUFFER = 2**20  # bytes of a column read at once


class TableError(Exception):
    """The error for a table that cannot be read, or not to its end; the message says why."""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row as JSON, with its approximate number of characters."""

    value: JSON
    size: int
    table: str = ""  # the split, of a data set
    number: int  # from 1


def parquet_rows(stream: IO[bytes]) -> Iterator[TableRow]:
    """Yield rows, a few of one row group in memory at a time. Raises TableError."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        # The default settings fetch all row groups at once.
        file = pyarrow.parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER)
        decoders = _decoders(file.schema_arrow)
        for batch in file.iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                row |= {name: decode(row[name]) for name, decode in decoders.items()}
                number += 1
                yield table_row(row, number)
    except (pyarrow.ArrowException, OSError, ValueError, ArithmeticError) as error:
        raise TableError(f"{one_line(error)}; {number} rows were read before this") from error


def _decoders(columns: Iterable[JSON]) -> dict[str, Decoder]:
    """Return decoders by column for the Arrow fields whose cells hold JSON as text."""
    found = {column.name: _decoder(column.type) for column in columns}
    return {name: decode for name, decode in found.items() if decode}


def _decoder(kind: JSON) -> Decoder | None:
    """Return how to read the cells of an Arrow type as JSON, None for all that hold no JSON as text.

    ``datasets`` writes such text for values that differ in their keys or types from row to row.
    """
    import pyarrow

    if isinstance(kind, pyarrow.JsonType):
        return _parsed
    if pyarrow.types.is_struct(kind):
        if fields := _decoders(kind):
            return lambda cell: cell and cell | {name: decode(cell[name]) for name, decode in fields.items()}
    elif pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        of_item = _decoder(kind.value_type)
        return of_item and (lambda cell: cell and [of_item(item) for item in cell])
    return None


def _parsed(cell: JSON) -> JSON:
    try:
        return json.loads(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def table_row(row: JSONObject, number: int, table: str = "") -> TableRow:
    value = {key: _plain(cell) for key, cell in row.items() if cell is not None}
    return TableRow(value=value, size=_size(value), number=number, table=table)


def _plain(value: object) -> JSON:
    """Return a cell as JSON. Arrow pads objects with nulls for absent keys: these are removed again."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _size(value: JSON) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _size(inner) for key, inner in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 8
