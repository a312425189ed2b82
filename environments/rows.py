"""Read the rows of a data set on the hub or a local file, each with its location for error messages."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, cast

Row = Mapping[str, object]
Located = Iterator[tuple[Row, str]]  # rows with their locations

HUB = "hf:"
FILE_TYPES = (".jsonl", ".json", ".parquet", ".gz")
_LINES = (".jsonl", ".ndjson")
# First lines of files that stand for data which was not fetched, and what to do.
_POINTERS = {
    "version https://git-lfs.github.com/spec/v1": "a Git LFS pointer, not the data: run `git lfs pull` in its clone",
    "/annex/objects/": "a git-annex pointer, not the data: run `git annex get` in its clone",
}


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
    """Yield rows of a table on the hub. Config and split of the name come first. Raises ``error`` if loading fails.

    ``datasets`` guesses types in JSON (a text like "2026-01-01" becomes a date), so the files of such a set are read as
    any other file.
    """
    name, own_config, own_split = split_hub_name(name)
    config, split = own_config or config, own_split or split
    try:
        builder = _builder(name, config)
        if builder.name == "json":
            rows = _of_split(_json_splits(builder, error), split)
        else:
            builder.download_and_prepare()
            rows = iter(builder.as_dataset(split=split))
    except error:
        raise
    except Exception as problem:  # the hub's client raises many kinds
        reason = " ".join(str(problem).split())[:200]
        advice = "without the hub give a local .jsonl or .parquet file"
        raise error(f"tasks: {name} ({split}) cannot be loaded: {reason}; {advice}") from problem
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise error(f"{name}:{number}: a task is an object, this is of type {type(row).__name__}")
        yield row, f"{name}:{number}"


def _builder(name: str, config: str | None) -> Any:
    """Return the builder of ``datasets``; without a connection that of the files in the hub's cache.

    Raises what the hub's client raises.
    """
    import datasets
    import huggingface_hub

    try:
        builder = datasets.load_dataset_builder(name, config)
        if builder.name != "cache" or builder.info.builder_name != "json":
            return builder
        offline = ConnectionError(f"cannot reach the hub, and {name} is here only as rows with guessed types")
    except ConnectionError as problem:
        offline = problem
    try:
        folder = huggingface_hub.snapshot_download(name, repo_type="dataset", local_files_only=True)
    except Exception:  # the hub's client raises many kinds
        raise offline from None
    return datasets.load_dataset_builder(folder, config)


Splits = dict[str, Callable[[], Iterator[object]]]  # the rows of each split, read anew by each call


def _json_splits(builder: Any, error: type[ValueError]) -> Splits:
    """Fetch the files of a set of JSON and return its splits. Raises what the hub's client raises."""
    import datasets

    fetch = datasets.DownloadManager()
    key = builder.config.field

    def rows_of(files: list[str]) -> Iterator[object]:
        for file in files:
            for unpacked in fetch.iter_files(fetch.extract(fetch.download(file))):
                for _, row in _json_rows(Path(unpacked), error, named=Path(file).name, key=key):
                    yield row

    files = {str(split): [str(file) for file in paths] for split, paths in builder.config.data_files.items()}
    fetch.download(files)
    return {split: lambda paths=paths: rows_of(paths) for split, paths in files.items()}  # type: ignore[misc]


def _of_split(splits: Splits, wanted: str) -> Iterator[object]:
    """Return the rows of a split, or of ``a+b`` and slices as ``datasets`` writes them. Raises ValueError."""
    import datasets

    if wanted in splits:
        return splits[wanted]()
    sizes = {split: sum(1 for _ in rows()) for split, rows in splits.items()}
    parts = datasets.ReadInstruction.from_spec(wanted).to_absolute(sizes)
    return (row for part in parts for row in islice(splits[part.splitname](), part.from_, part.to))


def file_rows(path: Path, *, names: Iterable[str], error: type[ValueError]) -> Located:
    """Yield the rows of a ``.jsonl``, ``.json`` (a list, or an object by id), both also ``.gz``, or ``.parquet`` file.

    ``names`` are published sets, suggested if there is no such file. Raises ``error``.
    """
    if not path.is_file():
        choice = f"give a file, a hub name (owner/name), or one of: {', '.join(names)}"
        raise error(f"tasks: no file {path}; {choice}")
    with path.open("rb") as raw:
        _check_fetched(raw.read(100).decode(errors="replace"), path, error)
    rows = _parquet_rows(path, error) if path.suffix == ".parquet" else _json_rows(path, error)
    for number, row in rows:
        if not isinstance(row, Mapping):
            raise error(f"{path}:{number}: a task is an object, this is of type {type(row).__name__}")
        yield row, f"{path}:{number}"


def _check_fetched(start: str, path: Path, error: type[ValueError]) -> None:
    for pointer, advice in _POINTERS.items():
        if start.startswith(pointer):
            raise error(f"{path}: {advice}")


def _parquet_rows(path: Path, error: type[ValueError]) -> Iterator[tuple[int, object]]:
    import datasets
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as problem:
        raise error(f"{path}: not parquet: {problem}") from problem
    # Cells that datasets wrote as JSON text.
    packed = any("arrow.json" in str(column.type) for column in table.schema)
    yield from enumerate(datasets.Dataset(table) if packed else table.to_pylist(), 1)


def _json_rows(
    path: Path, error: type[ValueError], *, named: str = "", key: str | None = None
) -> Iterator[tuple[int, object]]:
    """Yield rows with their line number, or in one document their position. Raises ``error``.

    ``named``: the file's name if its path is another. ``key``: of the object that holds the rows.
    """
    lines = (named or path.name).removesuffix(".gz").endswith(_LINES)
    try:
        with _opened(path) as text:
            for number, value in _values(text, lines=lines, path=path, error=error):
                if number:
                    yield number, value
                else:
                    yield from enumerate(_rows_of(value, key), 1)
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8: {problem}") from problem
    except (gzip.BadGzipFile, EOFError) as problem:
        raise error(f"{path}: not gzip, or cut off: {problem}") from problem


def _opened(path: Path) -> IO[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    return cast(IO[str], opener(path, "rt", encoding="utf-8-sig"))


def _values(
    text: IO[str], *, lines: bool, path: Path, error: type[ValueError]
) -> Iterator[tuple[int, object]]:
    """Yield the values of JSON Lines with their line numbers, or one document as number 0. Raises ``error``.

    ``lines``: the file's name says JSON Lines; but its content decides.
    """
    numbered = ((number, line) for number, line in enumerate(text, 1) if line.strip())
    number, first = next(numbered, (0, ""))
    if lines and not number:
        return
    try:
        head = json.loads(first)
    except ValueError as problem:
        rest = "".join(line for _, line in numbered)
        try:
            yield 0, json.loads(first + rest)
        except ValueError as of_whole:
            where, what = (f"{path}:{number}", problem) if lines else (path, of_whole)
            raise error(f"{where}: not JSON: {what}") from what
        return
    second = next(numbered, None)
    if second is None and not (lines and isinstance(head, Mapping)):
        yield 0, head
        return
    yield number, head
    for number, line in chain([second] if second else [], numbered):
        try:
            yield number, json.loads(line)
        except ValueError as problem:
            raise error(f"{path}:{number}: not JSON: {problem}") from problem


def _rows_of(value: Any, key: str | None) -> Iterable[object]:
    """Return the rows of a document: a list, an object of rows by id, or one row."""
    value = value if key is None else value[key]
    if isinstance(value, Mapping):
        return value.values() if all(isinstance(row, Mapping) for row in value.values()) else [value]
    return value if isinstance(value, list) else [value]
