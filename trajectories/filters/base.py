"""Types of the filters, and the filter that treats all found steps alike."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from trajectories.types import JSON, Trajectory

# Treatment of a found step: keep and count it, keep it as context that is no target, drop it, drop its trajectory.
Then = Literal["keep", "context", "drop_step", "drop_trajectory"]
Found = Mapping[int, str]  # index of a step -> reason
Finder = Callable[[Trajectory], Found]


@dataclass(frozen=True, kw_only=True)
class FilterResult:
    """A filtered trajectory, and an account of the changes."""

    trajectory: Trajectory
    dropped: str | None = None  # reason why the whole trajectory is dropped
    steps: Found = field(default_factory=dict)  # dropped steps, by their index in the unfiltered trajectory
    notes: Counter[str] = field(default_factory=Counter)  # findings and changes that cost no step


Filter = Callable[[Trajectory], FilterResult]


@runtime_checkable
class Remembering(Protocol):
    """A filter whose answer depends on the trajectories before. It remembers them, so each run needs a new one."""

    def key(self, trajectory: Trajectory) -> JSON:
        """Return what the answer depends on. Nothing is remembered."""

    def drop(self, key: JSON) -> str | None:
        """Return why the next trajectory is dropped, None to keep it; remember it."""


def on_steps(find: Finder, then: Then) -> Filter:
    """Return a filter that treats every found step as ``then`` says."""

    def apply(trajectory: Trajectory) -> FilterResult:
        found = find(trajectory)
        if not found:
            return FilterResult(trajectory=trajectory)
        if then == "drop_trajectory":
            return FilterResult(trajectory=trajectory, dropped=found[min(found)])
        if then == "drop_step":
            left = tuple(step for index, step in enumerate(trajectory.steps) if index not in found)
            return FilterResult(trajectory=replace(trajectory, steps=left), steps=found)
        if then == "keep":
            notes = Counter(f"found:{reason}" for reason in found.values())
            return FilterResult(trajectory=trajectory, notes=notes)
        steps = trajectory.steps
        notes = Counter(f"context_only:{why}" for index, why in found.items() if steps[index].target)
        marked = tuple(replace(step, target=step.target and i not in found) for i, step in enumerate(steps))
        return FilterResult(trajectory=replace(trajectory, steps=marked), notes=notes)

    return apply


def texts(value: JSON) -> Iterator[str]:
    """Yield all texts in a JSON value, keys excluded."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | Mapping):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from texts(item)
