"""Which files are read: paths, names of the hub, and the endings of data files."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from trajectories.pointers import unfetched
from trajectories.sources.hub import HUB

_JSON = (".json", ".jsonl", ".ndjson", ".traj")
_TABLES = (".parquet",)
ARCHIVES = (".tar", ".tgz", ".txz", ".tbz2", ".zip", ".eval")  # a log of Inspect is a zip
COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(:[^@/]+)?(@[^/]+)?")  # owner/name[:config][@split]


def strip_endings(name: str) -> str:
    """Return a file's name without its endings.

    >>> strip_endings("a__b-1.traj.json.gz"), strip_endings("acme__w.1a2b3c4d.pr_7.traj")
    ('a__b-1', 'acme__w.1a2b3c4d.pr_7')
    """
    endings = COMPRESSIONS + _JSON
    while (ending := PurePosixPath(name).suffix) in endings and name != ending:
        name = name.removesuffix(ending)
    return name


def find_files(paths: Iterable[Path], *, exclude: Iterable[Path] = ()) -> list[Path]:
    """Return the files under these paths, folders searched recursively in sorted order, each once.

    Hidden files of folders are skipped, names of the hub (see :func:`is_hub_name`) stay as they are. Raises
    FileNotFoundError for any other path that does not exist.
    """
    seen = {path.resolve() for path in exclude}
    found = []
    for path in paths:
        if is_hub_name(path):
            found.append(path)
            continue
        if not path.exists() and not path.is_symlink():
            raise FileNotFoundError(2, "no such file or folder", str(path))
        for file in _walk(path) if path.is_dir() else [path]:
            if (real := file.resolve()) not in seen:
                seen.add(real)
                found.append(file)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here) / name for name in sorted(names) if not name.startswith("."))


def is_candidate(name: str) -> bool:
    """Return whether files of trajectories have such names. Files that the user named need no such check."""
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return name.endswith(_JSON + ARCHIVES + _TABLES)


def is_hub_name(path: Path) -> bool:
    """Return whether a path names a data set of the hub: ``[hf:]owner/name[:config][@split]``.

    Without ``hf:`` an existing local path and the ending of a data file come first. With it a local folder of data may
    take the place of ``owner/name``.

    >>> is_hub_name(Path("acme/steps@train")), is_hub_name(Path("acme/steps.jsonl")), is_hub_name(Path("steps"))
    (True, False, False)
    """
    name = str(path)
    if name.startswith(HUB):
        return True
    return _HUB_NAME.fullmatch(name) is not None and not is_candidate(name) and not path.exists()


def why_not_a_file(path: Path) -> tuple[str, str] | None:
    """Return reason and detail for a path that is not opened: opening a named pipe would block."""
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        detail = unfetched(os.fsencode(target))
        return (
            ("not_fetched", detail) if detail else ("unreadable", f"a link to {target}, which does not exist")
        )
    if path.exists() and not path.is_file():
        return "not_a_file", "a named pipe, a socket or a device; write its content to a file"
    return None
