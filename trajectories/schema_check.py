"""Type checks of trajectories: readers take fields from foreign documents, which may hold anything anywhere."""

from types import UnionType

from trajectories.types import JSON, Trajectory

MAX_DEPTH = 100  # of arguments and metadata; the next program that reads them recurses too


def check_schema(trajectory: Trajectory) -> None:
    """Raises TypeError for a field of a wrong type, ValueError for values that are nested too deeply."""
    for name in ("trajectory_id", "instance_id", "task", "source"):
        _check(name, getattr(trajectory, name), str)
    _check("model", trajectory.model, str | None)
    _check("patch", trajectory.patch, str | None)
    _check("resolved", trajectory.resolved, bool | None)
    _check("metadata", trajectory.metadata, dict)
    _check_depth("metadata", trajectory.metadata)
    for number, step in enumerate(trajectory.steps, 1):  # as the ledger counts them
        _check(f"thought of turn {number}", step.thought, str)
        _check(f"observation of turn {number}", step.observation, str)
        _check(f"reasoning of turn {number}", step.reasoning, str)
        _check(f"target of turn {number}", step.target, bool)
        for action in step.actions:
            _check(f"an action's name in turn {number}", action.name, str)
            _check(f"an action's arguments in turn {number}", action.arguments, dict)
            _check_depth(f"arguments in turn {number}", action.arguments)


def _check(name: str, value: object, kind: type | UnionType) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is of type {type(value).__name__}")


def _check_depth(name: str, value: JSON) -> None:
    if _is_deeper(value, MAX_DEPTH):
        raise ValueError(f"{name} nested deeper than {MAX_DEPTH} levels")


def _is_deeper(value: JSON, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(item, depth - 1) for item in inner)
