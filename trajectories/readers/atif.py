"""ATIF 1.x (read by its 1.7 and 1.8), the Agent Trajectory Interchange Format of Harbor and its friends."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.chat import openai_reply, text_of
from trajectories.readers.events import Event, Result, Said, admit, fold, issue_text
from trajectories.readers.store import checked
from trajectories.round_trip import carried_in
from trajectories.sources.documents import Document
from trajectories.types import JSON, Trajectory

SOURCE = "atif"
COPIED = "copied_context"  # ATIF: such steps must not be trained on
NOT_OF_THE_MODEL = "not_of_the_model"  # llm_call_count 0: a program called the tool

_GENERIC_FOLDERS = {"agent", "logs"}  # of Harbor: <job>/<trial>/agent/trajectory.json


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """The trajectory and those of its sub-agents, if they are embedded."""
    yield from _read(document.value, _name(document), document.position, ledger)


def _read(root: Mapping[str, Any], name: str, position: str, ledger: FileLedger) -> Iterator[Trajectory]:
    steps: Sequence[Mapping[str, Any]] = root["steps"]
    ours = carried_in(root.get("extra"))
    trajectory_id = root.get("trajectory_id") or root.get("session_id") or name
    if root.get("continued_trajectory_ref"):
        ledger.note("continued_in_another_file", position)
    if ours and [step.get("source") for step in steps] == ["user", *["agent"] * (len(steps) - 1)]:
        lines = [_line(step) for step in steps[1:]]
        trajectory = checked({**ours, "task": steps[0]["message"], "steps": lines})
        ledger.trajectory(position, len(lines))
        yield trajectory
    else:
        yield from _foreign(root, trajectory_id, name, position, ledger)
    for number, inner in enumerate(root.get("subagent_trajectories") or [], 1):
        inner_id = f"{trajectory_id}/{inner.get('trajectory_id') or number}"
        yield from _read({**inner, "trajectory_id": inner_id}, name, f"{position} subagent {number}", ledger)


def _line(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step that we wrote, as a step of the store's line."""
    return {
        "thought": step["message"],
        "actions": [
            {"name": call["function_name"], "arguments": call["arguments"]}
            for call in step.get("tool_calls") or []
        ],
        "observation": "\n".join(text for _, text in _results(step) if text),
        "target": (carried_in(step.get("extra")) or {}).get("target", True),
    }


def _foreign(
    root: Mapping[str, Any], trajectory_id: str, name: str, position: str, ledger: FileLedger
) -> Iterator[Trajectory]:
    steps = root["steps"]
    folded = fold(event for step in steps for event in _events(step))
    task = issue_text(folded.prompt)
    agent = root.get("agent") or {}
    models = [agent.get("model_name"), *(step.get("model_name") for step in steps)]
    metadata: dict[str, JSON] = {"agent": agent.get("name"), "agent_version": agent.get("version")}
    if task != folded.prompt.strip():
        metadata["prompt"] = folded.prompt
    yield from admit(
        Trajectory(
            trajectory_id=trajectory_id,
            instance_id=name,
            task=task,
            steps=folded.steps,
            source=SOURCE,
            model=next((model for model in models if isinstance(model, str)), None),
            metadata=metadata,
        ),
        folded,
        ledger,
        position,
    )


def _events(step: Mapping[str, Any]) -> Iterator[Event]:
    """System prompts are not kept; what a system step observed is, as words to the agent."""
    text = text_of(step.get("message"))
    results = _results(step)
    if step["source"] != "agent":
        if step["source"] == "user":
            yield Said(text=text)
        yield from (Said(text=observed) for _, observed in results)
        return
    calls = [
        {
            "name": call.get("function_name"),
            "arguments": call.get("arguments"),
            "id": call.get("tool_call_id"),
        }
        for call in step.get("tool_calls") or []
    ]
    reply = openai_reply(text, calls)
    if step.get("is_copied_context"):
        reply = replace(reply, problem=COPIED)
    elif step.get("llm_call_count") == 0:
        reply = replace(reply, problem=NOT_OF_THE_MODEL)
    yield reply
    yield from (Result(text=observed, call_ids=(call,) if call else ()) for call, observed in results)


def _results(step: Mapping[str, Any]) -> list[tuple[str | None, str]]:
    """(id of the call, text) of each result."""
    results = (step.get("observation") or {}).get("results") or []
    return [(result.get("source_call_id"), text_of(result.get("content"))) for result in results]


def _name(document: Document) -> str:
    """Harbor calls every file ``trajectory.json``: there the folder of the trial names it."""
    if document.path.stem != "trajectory":
        return document.name
    folders = [part for part in document.path.parts[:-1] if part not in _GENERIC_FOLDERS]
    return folders[-1] if folders else document.name
