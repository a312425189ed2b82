"""Trajectories that do not solve their task, or of which nobody knows."""

from trajectories.filters.base import Filter, Outcome
from trajectories.types import Trajectory


def resolved_only(*, drop_unverified: bool) -> Filter:
    """Drops what a judge said is unresolved; with ``drop_unverified`` also what no judge has seen."""

    def apply(trajectory: Trajectory) -> Outcome:
        reason = None
        if trajectory.resolved is False:
            reason = "unresolved"
        elif trajectory.resolved is None and drop_unverified:
            reason = "unverified"
        return Outcome(trajectory=trajectory, dropped=reason)

    return apply
