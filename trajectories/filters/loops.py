"""Loops: the same calls with the same results, again and again."""

import json

from trajectories.filters.base import Found
from trajectories.types import Step, Trajectory

_DIGITS = str.maketrans("123456789", "000000000")  # times and addresses change from run to run


def loops(trajectory: Trajectory, *, repeats: int, longest_cycle: int) -> Found:
    """Find all but the first round of a cycle of up to ``longest_cycle`` steps that comes ``repeats`` times in a row.

    Calls and results must be the same, except for digits in results: scrolling down three times is no loop.
    """
    keys = [_key(step) for step in trajectory.steps]
    found: dict[int, str] = {}
    for period in range(1, longest_cycle + 1):
        same = 0  # steps in a row that equal the one a period before
        for index in range(period, len(keys) + 1):
            if index < len(keys) and keys[index] == keys[index - period]:
                same += 1
                continue
            if same >= period * (repeats - 1):
                found |= dict.fromkeys(range(index - same, index), "loop")
            same = 0
    return {index: why for index, why in sorted(found.items()) if trajectory.steps[index].actions}


def _key(step: Step) -> tuple[str, str]:
    calls = [[action.name, dict(action.arguments)] for action in step.actions]
    prose = "" if step.actions else step.thought
    return json.dumps([calls, prose], sort_keys=True), step.observation.translate(_DIGITS)
