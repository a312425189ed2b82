"""Our own store format: read as it is, and what foreign formats carry of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.schema_check import check_record
from trajectories.sources.documents import Document
from trajectories.store import from_json
from trajectories.types import Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    trajectory = checked(document.value)
    ledger.trajectory(document.position, len(trajectory.steps))
    yield trajectory


def checked(row: Mapping[str, Any]) -> Trajectory:
    """The trajectory of a line that somebody may have edited. Raises StoreError, TypeError or ValueError."""
    trajectory = from_json(row)
    check_record(trajectory)
    return trajectory
