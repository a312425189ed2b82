"""Filters in order, with their account: what they drop is taken from what the ledger counts as kept."""

from collections.abc import Sequence

from trajectories.filters.base import Filter
from trajectories.ledger import FileLedger
from trajectories.types import Trajectory

NO_ACTION_LEFT = "no_step_with_action"  # as in the readers: the remaining steps did nothing
NO_TARGET_LEFT = "no_target_left"  # the remaining steps are all context


class FilterPipeline:
    """Filters that run in order. Those that compare with earlier trajectories (duplicates) make it single-use."""

    def __init__(self, filters: Sequence[Filter] = ()) -> None:
        self._filters = filters

    def apply(self, trajectory: Trajectory, account: FileLedger) -> Trajectory | None:
        """Return the filtered trajectory, None if it is dropped. ``account`` counts it as kept so far."""
        name = trajectory.trajectory_id
        read = len(trajectory.steps)
        numbers = list(range(1, read + 1))  # of the remaining steps, as they were read
        drops: list[tuple[str, int]] = []
        reason = None
        for apply_filter in self._filters:
            result = apply_filter(trajectory)
            for what, times in result.notes.items():
                account.note(what, name, times)
            drops += [(why, numbers[index]) for index, why in sorted(result.steps.items())]
            numbers = [number for index, number in enumerate(numbers) if index not in result.steps]
            trajectory = result.trajectory
            if reason := result.dropped or _nothing_left(trajectory):
                break
        account.drop_kept(name, read, drops, reason)
        return None if reason else trajectory


def _nothing_left(trajectory: Trajectory) -> str | None:
    acting = [step for step in trajectory.steps if step.actions]
    if not acting:
        return NO_ACTION_LEFT
    return None if any(step.target for step in acting) else NO_TARGET_LEFT
