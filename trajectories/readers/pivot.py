"""NeMo Gym's pivot rows: a history and the expert's next action. Rows of our own writing make trajectories again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.chat import parse_arguments, text_of
from trajectories.readers.responses import input_items, read_items
from trajectories.readers.store import checked
from trajectories.round_trip import carried_in
from trajectories.sources.documents import Document
from trajectories.types import Trajectory

SOURCE = "pivot"

_ID = re.compile(r"\A(?:msg|call)_(\d+)(?:_\d+)?\Z")


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """A foreign row is a trajectory: the steps of its history, and the expert's action as the last one."""
    row = document.value
    params = row["responses_create_params"]
    items = input_items(params["input"])
    if ours := carried_in(row):
        yield from _ours(row, items, ours, document, ledger)
        return
    action = row["expected_action"]
    expected = (
        action["calls"] if action["type"] == "function_call_batch" else [{"role": "assistant", **action}]
    )
    model = params.get("model")
    yield from read_items(
        [*items, *expected],
        row,
        document,
        ledger,
        source=SOURCE,
        model=model if isinstance(model, str) else None,
    )


def same_trajectory(document: Document) -> str:
    """What the rows of a trajectory have in common; a foreign row stands for itself."""
    row = document.value
    ours = carried_in(row)
    return f"{document.origin}#{ours.get('trajectory_id')}" if ours else document.position


def step_index(document: Document) -> int:
    """The place of a row in its trajectory; the last one holds all that the others do."""
    ours = carried_in(document.value) or {}
    index = ours.get("step_index")
    return index if isinstance(index, int) else 0


def _ours(
    row: Mapping[str, Any],
    items: Sequence[Mapping[str, Any]],
    ours: Mapping[str, Any],
    document: Document,
    ledger: FileLedger,
) -> Iterator[Trajectory]:
    """The trajectory up to the row's step, and the steps behind it that got no row."""
    action = row["expected_action"]
    calls = action["calls"] if action["type"] == "function_call_batch" else [action]
    own = {
        "thought": ours["thought"],
        "actions": [_action(call) for call in calls],
        "observation": ours["observation"],
    }
    after = [{"actions": [], **step} for step in ours.get("after") or []]
    before = _history(items[1:], ours["step_index"])
    for index in ours.get("context_only") or []:
        before[index]["target"] = False
    steps = [*before, own, *after]
    trajectory = checked({**ours, "task": items[0]["content"], "steps": steps})
    if len(steps) < ours["steps"]:
        ledger.note("later_steps_not_in_the_rows", document.position, ours["steps"] - len(steps))
    ledger.trajectory(document.position, len(steps))
    yield trajectory


def _history(items: Sequence[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """The steps before the row's own. The ids of items say whose they are; users' words answer the last step."""
    steps: list[dict[str, Any]] = []
    for item in items:
        if item.get("role") == "user":
            steps[-1]["observation"] = item["content"]
            continue
        name = str(item.get("id") or item.get("call_id"))
        match = _ID.match(name)
        index = int(match[1]) if match else -1
        if index == len(steps):
            steps.append({"thought": "", "actions": [], "observation": ""})
        if index != len(steps) - 1:
            raise ValueError(f"{name!r} is no id of step {len(steps)} or of the one after it")
        if item["type"] == "message":
            steps[index]["thought"] = text_of(item["content"])
        elif item["type"] == "function_call":
            steps[index]["actions"].append(_action(item))
        elif item["output"]:
            steps[index]["observation"] = item["output"]
    if len(steps) != count:
        raise ValueError(f"{len(steps)} steps in the input, and step_index is {count!r}")
    return steps


def _action(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": call["name"], "arguments": parse_arguments(call["arguments"])}
