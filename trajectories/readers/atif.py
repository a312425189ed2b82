"""ATIF 1.x (tested on 1.7 and 1.8), the Agent Trajectory Interchange Format of Harbor and related tools."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from trajectories.ledger import FileLedger
from trajectories.readers.chat import make_reply, text_of
from trajectories.readers.events import Event, Result, UserMessage, record
from trajectories.readers.fields import value_at
from trajectories.readers.store import checked
from trajectories.round_trip import read_extra
from trajectories.sources.documents import Document
from trajectories.types import JSONObject, Trajectory

COPIED = "copied_context"  # ATIF: such steps must not be trained on
NOT_OF_THE_MODEL = "not_of_the_model"  # llm_call_count 0: a program called the tool

_AGENT = {"agent": "name", "agent_version": "version"}  # key of the metadata -> of the agent
_GENERIC_FOLDERS = {"agent", "logs"}  # of Harbor: <job>/<trial>/agent/trajectory.json


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read the trajectory and those of its sub-agents, if they are embedded."""
    yield from _read(document.value, document, document.position, ledger)


def _read(root: JSONObject, document: Document, position: str, ledger: FileLedger) -> Iterator[Trajectory]:
    steps: Sequence[JSONObject] = root["steps"]
    extra = read_extra(root.get("extra"))
    trajectory_id = root.get("trajectory_id") or root.get("session_id") or _name(document)
    if root.get("continued_trajectory_ref"):
        ledger.note("continued_in_another_file", position)
    if extra and [step.get("source") for step in steps] == ["user", *["agent"] * (len(steps) - 1)]:
        lines = [_line(step) for step in steps[1:]]
        trajectory = checked({**extra, "task": steps[0]["message"], "steps": lines})
        ledger.trajectory(position, len(lines))
        yield trajectory
    else:
        models = (value_at(root, "agent", "model_name"), *(step.get("model_name") for step in steps))
        yield from record(
            (event for step in steps for event in _events(step)),
            document,
            ledger,
            source="atif",
            instance_id=_name(document),
            trajectory_id=trajectory_id,
            position=position,
            model=next((model for model in models if isinstance(model, str)), None),
            metadata={key: value_at(root, "agent", name) for key, name in _AGENT.items()},
        )
    for number, inner in enumerate(root.get("subagent_trajectories") or [], 1):
        inner_id = f"{trajectory_id}/{inner.get('trajectory_id') or number}"
        inner_position = f"{position} subagent {number}"
        yield from _read({**inner, "trajectory_id": inner_id}, document, inner_position, ledger)


def _line(step: JSONObject) -> JSONObject:
    """Return a step that we wrote as a step of the store's line."""
    calls = step.get("tool_calls") or []
    return {
        "thought": step["message"],
        "actions": [{"name": call["function_name"], "arguments": call["arguments"]} for call in calls],
        "observation": "\n".join(text for _, text in _results(step) if text),
        "target": (read_extra(step.get("extra")) or {}).get("target", True),
    }


def _events(step: JSONObject) -> Iterator[Event]:
    """Yield events. System prompts are not kept; an observation of a system step becomes a user message."""
    text = text_of(step.get("message"))
    results = _results(step)
    if step["source"] != "agent":
        if step["source"] == "user":
            yield UserMessage(text=text)
        yield from (UserMessage(text=observed) for _, observed in results)
        return
    calls = step.get("tool_calls") or []
    listed = ((call.get("function_name"), call.get("arguments"), call.get("tool_call_id")) for call in calls)
    reply = make_reply(text, listed)
    if step.get("is_copied_context"):
        reply = replace(reply, problem=COPIED)
    elif step.get("llm_call_count") == 0:
        reply = replace(reply, problem=NOT_OF_THE_MODEL)
    yield reply
    yield from (Result(text=observed, call_ids=(call,) if call else ()) for call, observed in results)


def _results(step: JSONObject) -> list[tuple[str | None, str]]:
    """Return (id of the call, text) of each result."""
    results = value_at(step, "observation", "results") or []
    return [(result.get("source_call_id"), text_of(result.get("content"))) for result in results]


def _name(document: Document) -> str:
    """Return the file's name; the trial's folder if it is ``trajectory.json``, as Harbor calls every file."""
    if document.path.stem != "trajectory":
        return document.name
    folders = [part for part in document.path.parts[:-1] if part not in _GENERIC_FOLDERS]
    return folders[-1] if folders else document.name
