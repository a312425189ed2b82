"""The labels of a row: its licence and its teacher."""

from dataclasses import replace

from trajectories.filters.base import Filter, FilterResult
from trajectories.types import Trajectory


def labelled(*, licence: str | None = None, model: str | None = None) -> Filter:
    """Return a filter that sets ``metadata["licence"]``, and the model where the source names none."""

    def apply(trajectory: Trajectory) -> FilterResult:
        metadata = dict(trajectory.metadata)
        if licence is not None:
            metadata["licence"] = licence
        labelled = replace(trajectory, metadata=metadata, model=trajectory.model or model)
        return FilterResult(trajectory=labelled)

    return apply
