"""Sources that the converter once read wrongly, and the stores that it wrote of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.data.foreign_documents import Files
from trajectories import Action, Step, Trajectory

Calls = Sequence[tuple[str, dict[str, Any]]]
OldStep = tuple[str, Calls, str]  # thought, calls, observation


@dataclass(frozen=True, kw_only=True)
class Case:
    """A source, the store that the old code made of it, and the checks that find the fault."""

    files: Files
    old: Sequence[Trajectory]
    found_by: set[str]
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)  # by file: turns, by the old ledger


def write_ledger(case: Case, folder: Path, path: Path) -> None:
    """Write what of the old ledger is read."""
    files = [
        {
            "path": str(folder / name),
            "trajectories": {"dropped": {}},
            "steps": {"dropped": case.dropped.get(name, {})},
            "skipped": {},
        }
        for name in case.files
    ]
    path.write_text(json.dumps({"files": files}))


def old(name: str, task: str, *steps: OldStep, source: str, instance: str | None = None) -> Trajectory:
    """Return a trajectory of a store as it was before steps had reasoning."""
    return Trajectory(
        trajectory_id=name,
        instance_id=instance or name,
        task=task,
        source=source,
        steps=tuple(
            Step(
                thought=thought,
                actions=tuple(Action(name=call, arguments=arguments) for call, arguments in calls),
                observation=observation,
            )
            for thought, calls, observation in steps
        ),
    )
