"""Writers of the formats that trajectories go out in: rows of JSON, one a line of the file."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from trajectories.store import to_json
from trajectories.types import Trajectory
from trajectories.writers import atif, pivot, trl

Row = Mapping[str, Any]


class Writer(Protocol):
    """The rows of one trajectory; what becomes no row is counted in ``left_out`` under its reason."""

    def __call__(self, trajectory: Trajectory, left_out: Counter[str], /) -> Iterator[Row]: ...


def _store(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[Row]:
    yield to_json(trajectory)


WRITERS: Mapping[str, Writer] = {
    "atif": atif.write,
    "pivot": pivot.write,
    "store": _store,
    "trl-messages": trl.write_messages,
}
