"""Trajectories that do not solve their task, or are not verified."""

from trajectories.filters.base import Filter, FilterResult
from trajectories.types import Trajectory


def resolved_only(*, drop_unverified: bool) -> Filter:
    """Return a filter that drops unresolved trajectories; with ``drop_unverified`` also those without a verdict."""

    def apply(trajectory: Trajectory) -> FilterResult:
        reason = None
        if trajectory.resolved is False:
            reason = "unresolved"
        elif trajectory.resolved is None and drop_unverified:
            reason = "unverified"
        return FilterResult(trajectory=trajectory, dropped=reason)

    return apply
