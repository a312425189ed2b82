"""Our own store format, read as it is, and rows of it that foreign formats carry."""

from collections.abc import Iterator

from trajectories.ledger import FileLedger
from trajectories.schema_check import check_schema
from trajectories.sources.documents import Document
from trajectories.store import from_json
from trajectories.types import JSONObject, Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a line of a store."""
    trajectory = checked(document.value)
    ledger.trajectory(document.position, len(trajectory.steps))
    yield trajectory


def checked(row: JSONObject) -> Trajectory:
    """Return the trajectory of a line that may have been edited. Raises StoreError, TypeError or ValueError."""
    trajectory = from_json(row)
    check_schema(trajectory)
    return trajectory
