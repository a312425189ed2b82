"""Type checks of trajectories: readers take fields from foreign documents, which may hold anything anywhere."""

from types import UnionType

from trajectories.store import from_json
from trajectories.types import JSON, JSONObject, Trajectory

MAX_DEPTH = 100  # of arguments and metadata; the next program that reads them recurses too
_NESTED = (dict, list)


def check_schema(trajectory: Trajectory) -> None:
    """Raises TypeError for a field of a wrong type, ValueError for values that are nested too deeply."""
    for name in ("trajectory_id", "instance_id", "task", "source"):
        _check(name, getattr(trajectory, name), str)
    _check("model", trajectory.model, str | None)
    _check("patch", trajectory.patch, str | None)
    _check("resolved", trajectory.resolved, bool | None)
    _check("metadata", trajectory.metadata, dict)
    if _is_deeper(trajectory.metadata, MAX_DEPTH):
        raise ValueError(f"metadata nested deeper than {MAX_DEPTH} levels")
    for number, step in enumerate(trajectory.steps, 1):  # as the ledger counts them
        if not (
            isinstance(step.thought, str)
            and isinstance(step.observation, str)
            and isinstance(step.reasoning, str)
            and isinstance(step.target, bool)
        ):
            _check(f"thought of turn {number}", step.thought, str)
            _check(f"observation of turn {number}", step.observation, str)
            _check(f"reasoning of turn {number}", step.reasoning, str)
            _check(f"target of turn {number}", step.target, bool)
        for action in step.actions:
            if not isinstance(action.name, str) or not isinstance(action.arguments, dict):
                _check(f"an action's name in turn {number}", action.name, str)
                _check(f"an action's arguments in turn {number}", action.arguments, dict)
            if _is_deeper(action.arguments, MAX_DEPTH):
                raise ValueError(f"arguments in turn {number} nested deeper than {MAX_DEPTH} levels")


def checked(row: JSONObject) -> Trajectory:
    """Return the trajectory of a line that may have been edited. Raises StoreError, TypeError or ValueError."""
    trajectory = from_json(row)
    check_schema(trajectory)
    return trajectory


def _check(name: str, value: object, kind: type | UnionType) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is of type {type(value).__name__}")


def _is_deeper(value: JSON, depth: int) -> bool:
    """Return whether an object or a list holds more than this number of others in each other."""
    if depth == 0:
        return True
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, _NESTED) and _is_deeper(item, depth - 1):
            return True
    return False
