"""Claude Code's stream-json logs."""

from collections.abc import Iterator

from trajectories.ledger import FileLedger
from trajectories.sources.documents import Document
from trajectories.types import Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    raise ValueError("this format is not read yet")
    yield
