"""The embedded demo: small repositories of our own, tasks to fix a bug in them, and an expert's trajectories.

``expert.jsonl`` and ``tasks.jsonl`` are made by ``python -m harness.demo.record`` from ``repositories/`` (the
correct packages) and ``tasks/`` (the bug, the issue, the failing test and the expert's script of each task).
"""

import json
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class DemoTask:
    """A task with the columns of a SWE-bench instance."""

    instance_id: str  # demo__<repository>-<number>
    repo: str  # demo/<repository>
    base_commit: str  # commit id of the buggy state; authors and dates are fixed
    problem_statement: str
    patch: str  # the reference fix
    test_patch: str  # adds the tests that show the bug
    FAIL_TO_PASS: tuple[str, ...]
    PASS_TO_PASS: tuple[str, ...]


def expert_path() -> Path:
    """Return the file of expert trajectories, in our store's format."""
    return _FOLDER / "expert.jsonl"


def tasks_path() -> Path:
    """Return the file of tasks: one JSON object per line, with SWE-bench's keys."""
    return _FOLDER / "tasks.jsonl"


def load_tasks() -> tuple[DemoTask, ...]:
    return tuple(_task(line) for line in tasks_path().read_text(encoding="utf-8").splitlines())


def _task(line: str) -> DemoTask:
    row = json.loads(line)
    row |= {key: tuple(row[key]) for key in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    return DemoTask(**row)
