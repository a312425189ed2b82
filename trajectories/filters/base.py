"""What a filter is, and what one makes of a trajectory."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from trajectories.types import JSON, Trajectory

# What becomes of a step that a filter finds: it stays and is counted; it stays as context, and is no target; it goes;
# the whole trajectory goes.
Then = Literal["keep", "context", "drop_step", "drop_trajectory"]
Found = Mapping[int, str]  # index of a step -> why
Finder = Callable[[Trajectory], Found]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a filter made of a trajectory."""

    trajectory: Trajectory  # as it is now
    dropped: str | None = None  # why all of it goes
    steps: Found = field(default_factory=dict)  # steps that went: index in the trajectory that was given
    notes: Counter[str] = field(default_factory=Counter)  # what was found or changed and cost no step


Filter = Callable[[Trajectory], Outcome]


def on_steps(find: Finder, then: Then) -> Filter:
    """A filter that does the same with every step that is found."""

    def apply(trajectory: Trajectory) -> Outcome:
        found = find(trajectory)
        if not found:
            return Outcome(trajectory=trajectory)
        if then == "drop_trajectory":
            return Outcome(trajectory=trajectory, dropped=found[min(found)])
        if then == "drop_step":
            left = tuple(step for index, step in enumerate(trajectory.steps) if index not in found)
            return Outcome(trajectory=replace(trajectory, steps=left), steps=found)
        if then == "keep":
            return Outcome(trajectory=trajectory, notes=Counter(f"found:{why}" for why in found.values()))
        notes = Counter(
            f"context_only:{why}" for index, why in found.items() if trajectory.steps[index].target
        )
        marked = tuple(
            replace(step, target=step.target and index not in found)
            for index, step in enumerate(trajectory.steps)
        )
        return Outcome(trajectory=replace(trajectory, steps=marked), notes=notes)

    return apply


def texts(value: JSON) -> Iterator[str]:
    """All texts in a JSON value; keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | Mapping):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from texts(item)
