"""Our own store format: read as it is, and what foreign formats carry of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.sources import Document
from trajectories.store import StoreError, from_json
from trajectories.types import Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    trajectory = checked(document.value)
    ledger.trajectory(document.position, len(trajectory.steps))
    yield trajectory


def checked(row: Mapping[str, Any]) -> Trajectory:
    """The trajectory of a line that somebody may have edited. Raises StoreError for a field of a wrong type."""
    found = from_json(row)
    fields: dict[str, tuple[object, type | tuple[type, ...]]] = {
        name: (getattr(found, name), str) for name in ("trajectory_id", "instance_id", "task", "source")
    }
    for name, kind in (("model", str), ("patch", str), ("resolved", bool)):
        fields[name] = (getattr(found, name), (kind, type(None)))
    fields["metadata"] = (found.metadata, dict)
    for number, step in enumerate(found.steps, 1):
        fields[f"thought of step {number}"] = (step.thought, str)
        fields[f"observation of step {number}"] = (step.observation, str)
        for action in step.actions:
            fields[f"name of an action of step {number}"] = (action.name, str)
            fields[f"arguments of {action.name} in step {number}"] = (action.arguments, dict)
    for name, (value, wanted) in fields.items():
        if not isinstance(value, wanted):
            raise StoreError(f"{name} is of type {type(value).__name__}")
    return found
