"""Reading of one value, as the pipeline does it, with the numbers checked."""

from trajectories.ledger import FileLedger
from trajectories.readers import READERS
from trajectories.readers.detect import detect
from trajectories.sources.documents import Document
from trajectories.types import JSON, Trajectory


def read(
    value: JSON, name: str | None = None, origin: str = "acme__w-1.json"
) -> tuple[list[Trajectory], FileLedger]:
    """Read the trajectories of a document, whose format is detected unless it is named."""
    name = name or detect(value).name
    ledger = FileLedger(origin, name)
    found = list(READERS[name](Document(value=value, origin=origin), ledger))
    ledger.trajectories.check("trajectories")
    ledger.steps.check("steps")
    assert ledger.trajectories.kept == len(found)
    assert ledger.steps.kept == sum(len(trajectory.steps) for trajectory in found)
    return found, ledger


def one(value: JSON, name: str | None = None, origin: str = "acme__w-1.json") -> Trajectory:
    """Read the only trajectory of a document."""
    (trajectory,), _ = read(value, name, origin)
    return trajectory
