"""Our own store format, read as it is, and rows of it that foreign formats carry."""

from collections.abc import Iterator

from trajectories.ledger import FileLedger
from trajectories.schema_check import checked
from trajectories.sources.documents import Document
from trajectories.types import Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a line of a store."""
    trajectory = checked(document.value)
    ledger.trajectory(document.position, len(trajectory.steps))
    yield trajectory
