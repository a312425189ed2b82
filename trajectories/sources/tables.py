"""Rows of Parquet files and of data sets on the hub, streamed. Only this module imports pyarrow and datasets."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import IO

from trajectories.types import JSON, JSONObject

HUB = "hf:"
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
        for batch in file.iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield _row(row, number)
    except (pyarrow.ArrowException, OSError, ValueError, ArithmeticError) as error:
        raise TableError(f"{_one_line(error)}; {number} rows were read before this") from error


def hub_rows(path: Path) -> Iterator[TableRow]:
    """Yield the rows of the named split, or of all splits in their order. Raises TableError."""
    import datasets

    name, _, split = str(path).removeprefix(HUB).partition("@")
    name, _, config = name.partition(":")
    number = 0
    try:
        found = datasets.load_dataset(name, config or None, split=split or None, streaming=True)
        splits = {split: found} if split else found
        for table, rows in splits.items():
            number = 0
            for row in rows:
                number += 1
                yield _row(row, number, table)
    except Exception as error:  # the hub's client and its readers raise many kinds
        advice = "name it [hf:]owner/name[:config][@split]; without the hub give a local folder or file"
        message = f"{_one_line(error)}; {number} rows were read before this ({advice})"
        if not str(path).startswith(HUB):
            message = f"no such file or folder, and as a data set of the hub: {message}"
        raise TableError(message) from error


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _row(row: JSONObject, number: int, table: str = "") -> TableRow:
    value = {key: _plain(cell) for key, cell in row.items() if cell is not None}
    return TableRow(value=value, size=_size(value), number=number, table=table)


def _plain(value: object) -> JSON:
    """Return a cell as JSON. Arrow pads objects with nulls for absent keys: these are removed again."""
    if isinstance(value, Mapping):
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
