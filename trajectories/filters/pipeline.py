"""Filters in order, with their account: what they drop is taken from what the ledger counts as kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trajectories.filters.base import Filter, FilterResult, Remembering
from trajectories.filters.subsets import Ids
from trajectories.ledger import FileLedger
from trajectories.types import Trajectory

NO_ACTION_LEFT = "no_step_with_action"  # as in the readers: the remaining steps did nothing
NO_TARGET_LEFT = "no_target_left"  # the remaining steps are all context


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question that only what was kept before can answer, and what had been found when it came up."""

    filter: int  # index
    key: object  # of the trajectory
    notes: int  # how many there were
    drops: int


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Findings of the filters in a trajectory, to be counted."""

    read: int  # steps
    notes: Sequence[tuple[str, int]]
    drops: Sequence[tuple[str, int]]  # (reason, number of the step as it was read)
    reason: str | None  # why the trajectory is dropped
    asked: Sequence[Asked]


class FilterPipeline:
    """Filters that run in order. Those that compare with earlier trajectories (duplicates) make it single-use."""

    def __init__(self, filters: Sequence[Filter] = ()) -> None:
        self._filters = filters

    @property
    def ids(self) -> Sequence[Ids]:
        """Return the lists of ids among the filters, which know what was not found."""
        return [one for one in self._filters if isinstance(one, Ids)]

    def accounts(self) -> dict[str, Counter[str]]:
        """Return what the ledger says of the lists of ids, by name."""
        return {name: counts for ids in self.ids for name, counts in ids.accounts().items()}

    def apply(self, trajectory: Trajectory, account: FileLedger) -> Trajectory | None:
        """Return the filtered trajectory, None if it is dropped. ``account`` counts it as kept so far."""
        filtered, findings = self.run(trajectory)
        return filtered if self.settle(findings, trajectory.trajectory_id, account) else None

    def run(self, trajectory: Trajectory) -> tuple[Trajectory | None, Findings]:
        """Return the filtered trajectory, None if it is dropped, as if it were no duplicate. Nothing is remembered."""
        read = len(trajectory.steps)
        numbers = list(range(1, read + 1))  # of the remaining steps, as they were read
        notes: list[tuple[str, int]] = []
        drops: list[tuple[str, int]] = []
        asked: list[Asked] = []
        reason = None
        for index, apply_filter in enumerate(self._filters):
            if isinstance(apply_filter, Remembering):
                key = apply_filter.key(trajectory)
                asked.append(Asked(filter=index, key=key, notes=len(notes), drops=len(drops)))
                result = FilterResult(trajectory=trajectory)
            else:
                result = apply_filter(trajectory)
            notes += result.notes.items()
            drops += [(why, numbers[at]) for at, why in sorted(result.steps.items())]
            numbers = [number for at, number in enumerate(numbers) if at not in result.steps]
            trajectory = result.trajectory
            if reason := result.dropped or _nothing_left(trajectory):
                break
        found = Findings(read=read, notes=notes, drops=drops, reason=reason, asked=asked)
        return None if reason else trajectory, found

    def settle(self, findings: Findings, name: str, account: FileLedger) -> bool:
        """Count the findings of the next trajectory, and return whether it is kept."""
        notes, drops, reason = findings.notes, findings.drops, findings.reason
        for asked in findings.asked:
            remembering = self._filters[asked.filter]
            key = name if isinstance(remembering, Ids) else asked.key  # ids are given here
            if isinstance(remembering, Remembering) and (why := remembering.drop(key)):
                notes, drops, reason = notes[: asked.notes], drops[: asked.drops], why
                break
        for what, times in notes:
            account.note(what, name, times)
        account.drop_kept(name, findings.read, drops, reason)
        return reason is None


def _nothing_left(trajectory: Trajectory) -> str | None:
    acting = [step for step in trajectory.steps if step.actions]
    if not acting:
        return NO_ACTION_LEFT
    return None if any(step.target for step in acting) else NO_TARGET_LEFT
