"""Filters in order, and their account: what they drop is taken out of what the ledger has as kept."""

from collections.abc import Sequence

from trajectories.filters.base import Filter
from trajectories.ledger import FileLedger
from trajectories.types import Trajectory

NO_ACTION_LEFT = "no_step_with_action"  # as of readers: what remains did nothing
NO_TARGET_LEFT = "no_target_left"  # nothing that remains is to be learned


class Hygiene:
    """Runs filters; those that compare trajectories with earlier ones (duplicates) make it single-use."""

    def __init__(self, filters: Sequence[Filter] = ()) -> None:
        self._filters = filters

    def clean(self, trajectory: Trajectory, account: FileLedger) -> Trajectory | None:
        """The trajectory as the filters leave it; None if it is dropped. ``account`` has it as kept."""
        name = trajectory.trajectory_id
        read = len(trajectory.steps)
        numbers = list(range(1, read + 1))  # of the steps that are left, as they were read
        drops: list[tuple[str, int]] = []
        reason = None
        for apply in self._filters:
            outcome = apply(trajectory)
            for what, times in outcome.notes.items():
                account.note(what, name, times)
            drops += [(why, numbers[index]) for index, why in sorted(outcome.steps.items())]
            numbers = [number for index, number in enumerate(numbers) if index not in outcome.steps]
            trajectory = outcome.trajectory
            if reason := outcome.dropped or _nothing_left(trajectory):
                break
        account.drop_kept(name, read, drops, reason)
        return None if reason else trajectory


def _nothing_left(trajectory: Trajectory) -> str | None:
    acting = [step for step in trajectory.steps if step.actions]
    if not acting:
        return NO_ACTION_LEFT
    return None if any(step.target for step in acting) else NO_TARGET_LEFT
