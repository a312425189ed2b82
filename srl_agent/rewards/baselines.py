"""Baselines: the rewards of trivial policies on the same steps. A reward below the best of them shows nothing."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from trajectories import Action, Step, Trajectory
from trajectories.types import JSON

_LS = (Action(name="bash", arguments={"command": "ls"}),)

Actions = tuple[Action, ...]


def _repeat_last_action(trajectory: Trajectory, index: int) -> Actions:
    return next((step.actions for step in reversed(trajectory.steps[:index]) if step.actions), _LS)


def _empty_action(trajectory: Trajectory, index: int) -> Actions:
    return _map_texts(trajectory.steps[index].actions, lambda text: "")


def _first_half(trajectory: Trajectory, index: int) -> Actions:
    return _map_texts(trajectory.steps[index].actions, lambda text: text[: len(text) // 2])


# Policies that read the trajectory. The last two read the expert's own action: `empty_action` bounds the reward of its
# names and syntax alone, `first_half` that of half the answer.
BASELINES: Mapping[str, Callable[[Trajectory, int], Actions]] = {
    "repeat_last_action": _repeat_last_action,
    "empty_action": _empty_action,
    "first_half": _first_half,
}
# The single training action that scores best on training steps, among :func:`constant_candidates`.
BEST_CONSTANT = "best_constant"
# The expert's own action: what a perfect policy scores, which is not 1 for every reward and every sum of them.
EXPERT = "expert"
# For comparison only, never the best baseline: they copy what no policy sees.
READS_EXPERT = frozenset({"first_half", EXPERT})


def baseline_step(policy: str, trajectory: Trajectory, index: int) -> Step:
    """Return the step that a policy of ``BASELINES`` takes in place of step ``index``."""
    return as_step(BASELINES[policy](trajectory, index))


def as_step(actions: Sequence[Action]) -> Step:
    """Return a step with these actions, and a thought because the format requires one."""
    return Step(thought="Next.", actions=tuple(actions), observation="")


def constant_candidates(actions: Sequence[str], most: int) -> list[str]:
    """Return up to ``most`` distinct actions of training steps to try as a constant, the most frequent first.

    >>> constant_candidates(["ls", "pwd", "ls"], 1)
    ['ls']
    """
    return [action for action, _ in Counter(actions).most_common(most)]


def _map_texts(actions: Actions, change: Callable[[str], str]) -> Actions:
    return tuple(
        replace(action, arguments={name: _changed(value, change) for name, value in action.arguments.items()})
        for action in actions
    )


def _changed(value: JSON, change: Callable[[str], str]) -> JSON:
    return change(value) if isinstance(value, str) else value
