"""Data sets of the hub. Only this module imports datasets.

``datasets`` guesses types in JSON: a text that looks like a date becomes one, "12" beside numbers becomes 12. So it
only says which files a set of JSON consists of, and they are read as any other file. The same holds for logs.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from trajectories.sources.tables import TableError, TableRow, one_line, table_row
from trajectories.types import JSON

HUB = "hf:"
_READ_AS_FILES = ("json", "eval", "webdataset")  # kinds of sets: JSON, logs of Inspect, archives
_ADVICE = "name it [hf:]owner/name[:config][@split]; without the hub give a local folder or file"


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a data set."""

    url: str
    path: str  # within the data set
    key: str | None = (
        None  # of the object that holds the rows; None: the document is the row, or the list of rows
    )

    def open(self) -> AbstractContextManager[IO[bytes]]:
        import fsspec  # type: ignore[import-untyped]

        return cast(AbstractContextManager[IO[bytes]], fsspec.open(self.url, "rb"))


@dataclass(frozen=True, kw_only=True)
class HubSet:
    """A data set: the files to read, or if there are none a table."""

    name: Path
    split: str
    files: list[HubFile] = field(default_factory=list)
    builder: JSON = None  # a datasets.DatasetBuilder

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows of the named split, or of all splits in their order. Raises TableError."""
        number = 0
        try:
            found = self.builder.as_streaming_dataset(split=self.split or None)
            splits = {self.split: found} if self.split else found
            for table, rows in splits.items():
                number = 0
                for row in rows:
                    number += 1
                    yield table_row(row, number, table)
        except Exception as error:  # the hub's client and its readers raise many kinds
            raise hub_error(self.name, error, f"; {number} rows were read before this") from error


def hub_set(path: Path) -> HubSet:
    """Resolve the name of a data set. Raises TableError."""
    name, _, split = str(path).removeprefix(HUB).partition("@")
    name, _, config = name.partition(":")
    try:
        builder = _builder(name, config or None)
        if builder.name not in _READ_AS_FILES:
            return HubSet(name=path, split=split, builder=builder)
        files = _files_of(builder.config.data_files, split)
        base = str(builder.base_path or "")
        local = base if "://" in base else Path(base).expanduser().resolve().as_posix()
        key = getattr(builder.config, "field", None)
        found = [HubFile(url=url, path=url.removeprefix(f"{local}/"), key=key) for url in files]
    except Exception as error:  # the hub's client raises many kinds
        raise hub_error(path, error) from error
    return HubSet(name=path, split=split, files=found)


def _builder(name: str, config: str | None) -> JSON:
    """Return the builder of ``datasets``; without a connection that of the files in the hub's cache.

    Raises what the hub's client raises.
    """
    import datasets
    import huggingface_hub

    try:
        builder = datasets.load_dataset_builder(name, config)
        if builder.name != "cache" or builder.info.builder_name not in _READ_AS_FILES:
            return builder
        offline = ConnectionError(f"cannot reach the hub, and {name} is here only as rows with guessed types")
    except ConnectionError as error:
        offline = error
    try:
        folder = huggingface_hub.snapshot_download(name, repo_type="dataset", local_files_only=True)
    except Exception:  # the hub's client raises many kinds
        raise offline from None
    return datasets.load_dataset_builder(folder, config)


def hub_error(name: Path, error: Exception, when: str = "") -> TableError:
    message = f"{one_line(error)}{when} ({_ADVICE})"
    if not str(name).startswith(HUB):
        message = f"no such file or folder, and as a data set of the hub: {message}"
    return TableError(message)


def _files_of(splits: Mapping[str, list[str]], wanted: str) -> list[str]:
    """Return the files of the splits ``a+b``, or of all. Raises ValueError for a split that does not exist."""
    files = {str(split): [str(url) for url in urls] for split, urls in splits.items()}
    names = list(files) if wanted in ("", "all") else [name.strip() for name in wanted.split("+")]
    if unknown := [name for name in names if name not in files]:
        raise ValueError(f"no split {', '.join(unknown)}; there are {', '.join(files)}")
    return [url for name in names for url in files[name]]
