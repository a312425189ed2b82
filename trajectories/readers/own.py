"""Our own store format: read as it is."""

from collections.abc import Iterator

from trajectories.ledger import FileLedger
from trajectories.sources import Document
from trajectories.store import from_json
from trajectories.types import Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    trajectory = from_json(document.value)
    ledger.trajectory(document.position, len(trajectory.steps))
    yield trajectory
