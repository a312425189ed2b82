"""Steps whose action should not be learned: made up, empty, too long."""

import json

from trajectories.filters.base import Found
from trajectories.readers.scaffolds.swe_smith import EXIT, EXIT_MARKER, MADE_UP, MADE_UP_SUBMIT
from trajectories.types import JSON, Action, Trajectory
from trajectories.vocabulary import canonical

_MAX_NAME = 100
# Arguments without which a call of that kind does nothing; one of each group is required.
_NEEDED = {
    "run": (("command", "code"),),
    "create": (("path",),),
    "replace": (("path", "start", "edits"),),
    "patch": (("patch",),),
}


def made_up_submits(trajectory: Trajectory) -> Found:
    """Find replies that a scaffold wrote in the agent's name when it stopped a run (see ``readers.swe_smith``).

    The reader of SWE-smith drops them; this finds them in data that other programs have converted.
    """
    found = {}
    for index, step in enumerate(trajectory.steps):
        if EXIT.match(step.thought):
            found[index] = EXIT_MARKER
        elif step.thought.startswith(MADE_UP):
            found[index] = MADE_UP_SUBMIT
    return found


def empty_actions(trajectory: Trajectory) -> Found:
    """Find calls that did nothing: no name, markup as the name, or no value in the required arguments."""
    found = {}
    for index, step in enumerate(trajectory.steps):
        reasons = [reason for action in step.actions if (reason := _emptiness(action))]
        if reasons:
            found[index] = reasons[0]
    return found


def _emptiness(action: Action) -> str | None:
    name = action.name
    if not name.strip() or len(name) > _MAX_NAME or any(c.isspace() or c in "<>{}()=\"'`" for c in name):
        return "unparsable_action"
    call = canonical(action)
    if call is None or call.kind not in _NEEDED:
        return None
    if any(_has_value(value) for value in call.rest.values()):  # e.g. bash(restart=true)
        return None
    for names in _NEEDED[call.kind]:
        if not any(_has_value(call.arguments.get(needed)) for needed in names):
            return "empty_action"
    return None


def _has_value(value: JSON) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value not in (None, False, [], {})


def long_actions(trajectory: Trajectory, *, max_chars: int) -> Found:
    """Find steps whose calls are longer than ``max_chars`` as JSON: whole files, pasted data."""
    return {
        index: "long_action"
        for index, step in enumerate(trajectory.steps)
        if sum(len(a.name) + len(json.dumps(dict(a.arguments))) for a in step.actions) > max_chars
    }
