"""Read the rows of a data set on the hub or a local file, each with its location for error messages."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Row = Mapping[str, object]
Located = Iterator[tuple[Row, str]]  # rows with their locations

HUB = "hf:"
FILE_TYPES = (".jsonl", ".json", ".parquet", ".gz")


def is_hub_name(source: str) -> bool:
    """Return whether a source names a table on the hub, ``[hf:]owner/name[:config][@split]``, not a file.

    >>> is_hub_name("openai/gsm8k"), is_hub_name("hf:openai/gsm8k:main@train"), is_hub_name("data/gsm8k.jsonl")
    (True, True, False)
    """
    if source.startswith(HUB):
        return True
    path = Path(source).expanduser()
    return not (path.exists() or path.suffix in FILE_TYPES or source.startswith((".", "/", "~")))


def split_hub_name(source: str) -> tuple[str, str | None, str | None]:
    """Return name, config and split of ``[hf:]owner/name[:config][@split]``.

    >>> split_hub_name("hf:openai/gsm8k:main@train"), split_hub_name("openai/gsm8k")
    (('openai/gsm8k', 'main', 'train'), ('openai/gsm8k', None, None))
    """
    name, _, split = source.removeprefix(HUB).partition("@")
    name, _, config = name.partition(":")
    return name, config or None, split or None


def hub_rows(name: str, split: str, *, error: type[ValueError], config: str | None = None) -> Located:
    """Yield rows of a table on the hub. Config and split of the name come first. Raises ``error`` if loading fails."""
    import datasets

    name, own_config, own_split = split_hub_name(name)
    config, split = own_config or config, own_split or split
    try:
        table = datasets.load_dataset(name, config, split=split)
    except Exception as problem:  # the hub's client raises many kinds
        reason = " ".join(str(problem).split())[:200]
        advice = "without the hub give a local .jsonl or .parquet file"
        raise error(f"tasks: {name} ({split}) cannot be loaded: {reason}; {advice}") from problem
    for number, row in enumerate(table, 1):
        yield row, f"{name}:{number}"


def file_rows(path: Path, *, names: Iterable[str], error: type[ValueError]) -> Located:
    """Yield the rows of a ``.jsonl``, ``.json`` (a list, or an object by id), both also ``.gz``, or ``.parquet`` file.

    ``names`` are published sets, suggested if there is no such file. Raises ``error``.
    """
    if not path.is_file():
        choice = f"give a file, a hub name (owner/name), or one of: {', '.join(names)}"
        raise error(f"tasks: no file {path}; {choice}")
    if path.suffix == ".parquet":
        import pyarrow.parquet

        try:
            rows: Iterable[tuple[int, object]] = enumerate(pyarrow.parquet.read_table(path).to_pylist(), 1)
        except pyarrow.ArrowInvalid as problem:
            raise error(f"{path}: not parquet: {problem}") from problem
    else:
        rows = _json_rows(path, error)
    for number, row in rows:
        if not isinstance(row, Mapping):
            raise error(f"{path}:{number}: a task is an object, this is of type {type(row).__name__}")
        yield row, f"{path}:{number}"


def _json_rows(path: Path, error: type[ValueError]) -> Iterator[tuple[int, object]]:
    """Yield values with their line number, or in a ``.json`` file their position."""
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8") as text:
            if path.name.removesuffix(".gz").endswith(".jsonl"):
                for line in text:
                    number += 1
                    if line.strip():
                        yield number, json.loads(line)
                return
            value = json.load(text)
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8: {problem}") from problem
    except (gzip.BadGzipFile, EOFError) as problem:
        raise error(f"{path}: not gzip, or cut off: {problem}") from problem
    except ValueError as problem:
        raise error(f"{path}{f':{number}' if number else ''}: not JSON: {problem}") from problem
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    yield from enumerate(values, 1)
