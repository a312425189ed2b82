"""What trivial policies score: the reward that a curve has to leave behind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from trajectories import Action, Step, Trajectory

_LS = (Action(name="bash", arguments={"command": "ls"}),)


def _repeat_last_action(trajectory: Trajectory, index: int) -> tuple[Action, ...]:
    return next((step.actions for step in reversed(trajectory.steps[:index]) if step.actions), _LS)


def _empty_action(trajectory: Trajectory, index: int) -> tuple[Action, ...]:
    return _map_texts(trajectory.steps[index].actions, lambda text: "")


def _first_half(trajectory: Trajectory, index: int) -> tuple[Action, ...]:
    return _map_texts(trajectory.steps[index].actions, lambda text: text[: len(text) // 2])


def _constant_ls(trajectory: Trajectory, index: int) -> tuple[Action, ...]:
    return _LS


# The second and third read the expert's own action: they bound what its envelope alone is worth.
FLOOR_POLICIES: Mapping[str, Callable[[Trajectory, int], tuple[Action, ...]]] = {
    "repeat_last_action": _repeat_last_action,
    "empty_action": _empty_action,
    "first_half": _first_half,
    "constant_ls": _constant_ls,
}


def floor_step(policy: str, trajectory: Trajectory, index: int) -> Step:
    """What a trivial policy does at step ``index``, with a thought so that its format is right."""
    actions = FLOOR_POLICIES[policy](trajectory, index)
    return Step(thought="Next.", actions=actions, observation="")


def _map_texts(actions: tuple[Action, ...], change: Callable[[str], str]) -> tuple[Action, ...]:
    return tuple(
        replace(action, arguments={name: _changed(value, change) for name, value in action.arguments.items()})
        for action in actions
    )


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    return change(value) if isinstance(value, str) else value
