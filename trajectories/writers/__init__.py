"""Writers of the output formats: rows of JSON, one a line of the file."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Protocol

from trajectories.store import to_json
from trajectories.types import JSONObject, Trajectory
from trajectories.writers import atif, pi, pivot, trl


class Writer(Protocol):
    """A writer of one trajectory's rows. Parts that become no row are counted in ``left_out`` under their reason."""

    def __call__(self, trajectory: Trajectory, left_out: Counter[str], /) -> Iterator[JSONObject]: ...


def _store(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[JSONObject]:
    yield to_json(trajectory)


WRITERS: Mapping[str, Writer] = {
    "atif": atif.write,
    "atif-1.7": atif.write_1_7,
    "pi": pi.write,
    "pivot": pivot.write,
    "store": _store,
    "trl-messages": trl.write_messages,
}
