"""Rows of Parquet files and of data sets on the hub, streamed: the one place that imports pyarrow and datasets."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import IO, Any

from trajectories.types import JSON

HUB = "hf:"
_BATCH = 16  # rows decoded at once
_BUFFER = 2**20  # bytes of a column read at once


class TableError(Exception):
    """A table that cannot be read, or not any further; the message says why."""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row as JSON, and about how many characters it has."""

    value: JSON
    size: int
    table: str = ""  # the split, of a data set
    number: int  # from 1


def is_hub_name(path: Path) -> bool:
    """Whether a PATH is ``hf:owner/name[:config][@split]``; a local folder of data may stand in the name's place."""
    return str(path).startswith(HUB)


def parquet_rows(stream: IO[bytes]) -> Iterator[TableRow]:
    """A few rows of one row group at a time. Raises TableError."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        # Without these settings all row groups are fetched at once.
        file = pyarrow.parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER)
        for batch in file.iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield _row(row, number)
    except (pyarrow.ArrowException, OSError, ValueError, ArithmeticError) as error:
        raise TableError(f"{_one_line(error)}; {number} rows were read before this") from error


def hub_rows(path: Path) -> Iterator[TableRow]:
    """The rows of the named split, or of all splits in their order. Raises TableError."""
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
    except Exception as error:  # the hub's client and the readers behind it raise many kinds
        advice = "name it owner/name[:config][@split]; without the hub give a local folder or file"
        raise TableError(f"{_one_line(error)}; {number} rows were read before this ({advice})") from error


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _row(row: Mapping[str, Any], number: int, table: str = "") -> TableRow:
    value = {key: _plain(cell) for key, cell in row.items() if cell is not None}
    return TableRow(value=value, size=_size(value), number=number, table=table)


def _plain(value: Any) -> JSON:
    """A cell as JSON. Arrow fills absent keys of objects up with nulls: they are taken out again."""
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
