"""NeMo Gym's pivot rows: a history and the expert's next action. Our own rows give the whole trajectory back."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import parse_arguments, text_of
from trajectories.readers.chat.responses import facts_of, input_items, read_items
from trajectories.round_trip import read_extra
from trajectories.schema_check import checked
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_ID = re.compile(r"\A(?:rs|msg|call)_(\d+)(?:_\d+)?\Z")


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a foreign row as a trajectory: the steps of its history, and the expert's action as the last one."""
    row = document.value
    params = row["responses_create_params"]
    items = input_items(params.get("input"))
    if extra := read_extra(row):
        yield from _own(row, items, extra, document, ledger)
        return
    found = [*items, *_expected(row["expected_action"])]
    facts = facts_of(row, params)
    model = text_at(params, "model") or facts.model
    yield from read_items(found, replace(facts, model=model), document, ledger, source="pivot")


def _expected(action: JSONObject) -> list[JSON]:
    """Return the items of the expected action, whose ``type`` may be missing: a call has a name."""
    calls = action.get("calls")
    listed = calls if isinstance(calls, list) else [action]
    return [_typed(call) if isinstance(call, dict) else call for call in listed]


def _typed(call: JSONObject) -> JSONObject:
    kind = call.get("type") or ("function_call" if call.get("name") else "message")
    return {"role": "assistant", **call, "type": kind}


def same_trajectory(document: Document) -> str:
    """Return what the rows of a trajectory have in common; a foreign row is a group of one."""
    row = document.value
    extra = read_extra(row)
    return f"{document.origin}#{extra.get('trajectory_id')}" if extra else document.position


def step_index(document: Document) -> int:
    """Return the index of a row's step in its trajectory. The last row holds all that the others do."""
    index = (read_extra(document.value) or {}).get("step_index")
    return index if isinstance(index, int) else 0


def _own(
    row: JSONObject, items: Sequence[JSONObject], extra: JSONObject, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    """Read the trajectory up to the row's step, and the later steps that have no row."""
    action = row["expected_action"]
    calls = action["calls"] if action["type"] == "function_call_batch" else [action]
    actions = [_action(call) for call in calls]
    own = {"thought": extra["thought"], "actions": actions, "observation": extra["observation"]}
    own |= {"reasoning": extra.get("reasoning", "")}
    after = [{"actions": [], **step} for step in extra.get("after") or []]
    before = _history(items[1:], extra["step_index"])
    for index in extra.get("context_only") or []:
        before[index]["target"] = False
    steps = [*before, own, *after]
    trajectory = checked({**extra, "task": items[0]["content"], "steps": steps})
    if len(steps) < extra["steps"]:
        ledger.note("later_steps_not_in_the_rows", document.position, extra["steps"] - len(steps))
    ledger.trajectory(document.position, len(steps))
    yield trajectory


def _history(items: Sequence[JSONObject], count: int) -> list[dict[str, JSON]]:
    """Return the steps before the row's own. Items name their step in their ids; a user message is the observation."""
    steps: list[dict[str, JSON]] = []
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
        if item["type"] == "reasoning":
            text = "".join(part["text"] for part in item["content"])
            steps[index] |= {"thought": text, "reasoning": text}
        elif item["type"] == "message":
            steps[index]["thought"] = text_of(item["content"])
        elif item["type"] == "function_call":
            steps[index]["actions"].append(_action(item))
        elif item["output"]:
            steps[index]["observation"] = item["output"]
    if len(steps) != count:
        raise ValueError(f"{len(steps)} steps in the input, and step_index is {count!r}")
    return steps


def _action(call: JSONObject) -> dict[str, JSON]:
    return {"name": call["name"], "arguments": parse_arguments(call["arguments"])}
