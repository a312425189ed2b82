"""Commands say that a file of theirs was not fetched from Git LFS."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import UserError
from harness.evaluation.swe.predictions import read_predictions
from harness.jsonl import read_rows
from trajectories.store import StoreError, read_trajectories

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
READERS: dict[str, Callable[[Path], object]] = {
    "results.jsonl": read_rows,
    "store.jsonl": lambda path: list(read_trajectories(path)),
    "predictions.jsonl": lambda path: read_predictions(path, ["acme__widgets-1"]),
    "predictions.json": lambda path: read_predictions(path, ["acme__widgets-1"]),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pointer_of_git_lfs_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises((UserError, StoreError), match=f"{name}.*: a Git LFS pointer, .* run `git lfs pull`"):
        READERS[name](tmp_path / name)
