"""Describe the machine and the versions of what runs on it, for a run's manifest."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "peft", "datasets", "difflib-fast", "cydifflib")


class MachineFacts(TypedDict):
    versions: dict[str, str]
    machine: dict[str, str | int | None]
    git_commit: str | None


def describe_machine() -> MachineFacts:
    """Return versions, system and git commit for the manifest."""
    versions = {}
    for package in ("srl-agent", *_LIBRARIES):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    import git

    try:
        repository = git.Repo(Path(__file__).parent, search_parent_directories=True)
        return str(repository.head.commit.hexsha) + ("-dirty" if repository.is_dirty() else "")
    except (git.InvalidGitRepositoryError, ValueError, git.GitError):
        return None
