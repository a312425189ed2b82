"""Outputs of a conversion: one file of rows, or for formats of one file a trajectory a folder of them."""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from harness.cli import UsageError
from trajectories.store import atomic_write

FOLDERS = frozenset({"pi"})  # formats of one file a trajectory
_UNSAFE = re.compile(r"[^\w.#~+-]", re.ASCII)
_BUFFER = 2**18
_LONGEST = 150  # characters of a file's name; file systems allow 255 bytes

# Takes the id of a trajectory, and the text of its rows in pieces.
Write = Callable[[str, Iterable[bytes]], None]


def check_new_folder(out: Path) -> None:
    """Raises UsageError unless ``out`` can become a folder: ``--force`` never deletes one."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"{out} exists; this format writes a new folder, one file a trajectory")


def _digest_of(folder: Path) -> str:
    """Return the SHA-256 of the files of a folder after each other, in the order of their names."""
    digest = sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            while chunk := file.read(_BUFFER):
                digest.update(chunk)
    return digest.hexdigest()


@dataclass
class Target:
    """A place for rows, and the SHA-256 of what was written there, known when it is complete."""

    write: Write
    digest: str = ""


@contextmanager
def open_output(out: Path, written_as: str) -> Iterator[Target]:
    """Open a file or a folder that appears under its name only if the block succeeds; else nothing is left behind."""
    if written_as in FOLDERS:
        with _new_folder(out) as write:
            target = Target(write)
            yield target
        target.digest = _digest_of(out)
        return
    digest = sha256()
    with atomic_write(out) as text, open(text.fileno(), "wb", buffering=_BUFFER, closefd=False) as file:

        def write_row(trajectory_id: str, pieces: Iterable[bytes]) -> None:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)

        target = Target(write_row)
        yield target
    target.digest = digest.hexdigest()


@contextmanager
def _new_folder(out: Path) -> Iterator[Write]:
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    names: set[str] = set()

    def write(trajectory_id: str, pieces: Iterable[bytes]) -> None:
        path = temporary / f"{_file_name(trajectory_id, names)}.jsonl"
        with path.open("xb") as file:
            file.writelines(pieces)

    try:
        temporary.mkdir(parents=True)
        yield write
        os.replace(temporary, out)  # noqa: PTH105  (onto an empty folder too)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _file_name(trajectory_id: str, taken: set[str]) -> str:
    """Return a name that no file system refuses or takes for another one, and add it to ``taken``.

    >>> taken = set()
    >>> _file_name("acme/w#1", taken), _file_name("acme_W#1", taken), _file_name("..", taken)
    ('acme_w#1', 'acme_W#1~2', '_.')
    """
    wanted = name = re.sub(r"\A\.", "_", _UNSAFE.sub("_", trajectory_id)[:_LONGEST]) or "_"
    number = 1
    while name.lower() in taken:
        number += 1
        name = f"{wanted}~{number}"
    taken.add(name.lower())
    return name
