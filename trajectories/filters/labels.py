"""What a row says of its licence and its teacher."""

from dataclasses import replace

from trajectories.filters.base import Filter, Outcome
from trajectories.types import Trajectory


def labelled(*, licence: str | None = None, model: str | None = None) -> Filter:
    """Writes ``metadata["licence"]``, and the model where the source names none."""

    def apply(trajectory: Trajectory) -> Outcome:
        metadata = dict(trajectory.metadata)
        if licence is not None:
            metadata["licence"] = licence
        return Outcome(trajectory=replace(trajectory, metadata=metadata, model=trajectory.model or model))

    return apply
