"""ATIF 1.x (tested on 1.2 to 1.8), the Agent Trajectory Interchange Format of Harbor and related tools."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.context_turns import as_context
from trajectories.conversation.events import Event, Folded, Result, UserMessage, fold, record
from trajectories.conversation.fields import text_at, value_at
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import make_reply, text_of
from trajectories.readers.harbor.agent_rules import as_the_agent_wrote
from trajectories.readers.harbor.atif_steps import (
    COMPACTION,
    RESULT,
    Agents,
    AtifStep,
    by_agent,
    objects_of,
    prompt_of,
    read_step,
    reply_steps,
)
from trajectories.round_trip import read_extra
from trajectories.schema_check import checked
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_AGENT = {"agent": "name", "agent_version": "version"}  # key of the metadata -> of the agent
_GENERIC_FOLDERS = {"agent", "logs"}  # of Harbor: <job>/<trial>/agent/trajectory.json


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read the trajectory and those of its sub-agents, embedded or among its own steps."""
    yield from _read(document.value, document, document.position, ledger)


def _read(root: JSONObject, document: Document, position: str, ledger: FileLedger) -> Iterator[Trajectory]:
    steps: Sequence[JSON] = root["steps"]
    extra = read_extra(root.get("extra"))
    ids = (text_at(root, key) for key in ("trajectory_id", "session_id"))
    trajectory_id = next((found for found in ids if found), None) or _name(document)
    if root.get("continued_trajectory_ref"):
        ledger.note("continued_in_another_file", position)
    if extra and [step.get("source") for step in steps] == ["user", *["agent"] * (len(steps) - 1)]:
        lines = [_line(step) for step in steps[1:]]
        trajectory = checked({**extra, "task": steps[0]["message"], "steps": lines})
        ledger.trajectory(position, len(lines))
        yield trajectory
    else:
        yield from _foreign(root, trajectory_id, document, position, ledger)
    inner = root.get("subagent_trajectories")
    for number, one in enumerate(inner if isinstance(inner, list) else [], 1):
        if not isinstance(one, dict) or not isinstance(one.get("steps"), list):
            ledger.note("subagent_in_another_file", position)
            continue
        inner_id = f"{trajectory_id}/{text_at(one, 'trajectory_id') or number}"
        inner_position = f"{position} subagent {number}"
        yield from _read({**one, "trajectory_id": inner_id}, document, inner_position, ledger)


def _foreign(
    root: JSONObject, trajectory_id: str, document: Document, position: str, ledger: FileLedger
) -> Iterator[Trajectory]:
    agent = root.get("agent")
    agent = agent if isinstance(agent, dict) else {}
    name = text_at(agent, "name")
    steps = as_the_agent_wrote([read_step(step, name) for step in objects_of(root["steps"])], name)
    if odd := len(root["steps"]) - len(steps):
        ledger.note("step_not_an_object", position, odd)
    agents = by_agent(steps)
    own = {key: value for key, name in _AGENT.items() if (value := text_at(agent, name))}
    default = text_at(agent, "model_name")
    prompts = {str(call[2]): prompt_of(call) for step in agents.main for call in step.calls if call[2]}
    for name, part in _parts(agents):
        folded, notes = _folded(reply_steps(part))
        where = f"{position} agent {name}" if name else position
        for what, times in notes.items():
            ledger.note(what, where, times)
        # Harbor may have named the agent by the model of a sub-agent.
        models = [step.model for step in part] if len(part) < len(steps) else []
        yield from record(
            folded,
            document,
            ledger,
            source="atif",
            instance_id=_name(document),
            trajectory_id=f"{trajectory_id}/{name}" if name else trajectory_id,
            position=where,
            prompt=folded.prompt or prompts.get(name),
            model=next((m for m in (*models, default, *(step.model for step in part)) if m), None),
            metadata=dict(own),
        )
    if agents.mixed:
        turns = sum(step.source == "agent" for step in agents.mixed)
        ledger.trajectory(f"{position} agents", turns, reason="subagents_not_told_apart")


def _parts(agents: Agents) -> Iterator[tuple[str, list[AtifStep]]]:
    yield "", agents.main
    yield from agents.subagents.items()


def _folded(steps: Sequence[AtifStep]) -> tuple[Folded, Counter[str]]:
    """Fold the steps. Turns that are no example to learn from are context, or nothing if there is no other action."""
    turns = [step for step in steps if step.source == "agent"]
    notes = Counter(note for step in steps for note in step.notes)
    notes[COMPACTION] = sum(step.source == COMPACTION for step in steps)
    context = {number for number, step in enumerate(turns, 1) if step.context}
    if not any(step.calls for step in turns if not step.context):
        return fold(event for step in steps for event in _events(step, step.context)), +notes
    folded = as_context(fold(event for step in steps for event in _events(step, None)), context)
    notes.update(step.context for step in turns if step.context)
    return folded, +notes


def _events(step: AtifStep, problem: str | None) -> Iterator[Event]:
    """Yield events. System prompts are not kept; an observation of a system step becomes a user message."""
    if step.source == "agent":
        reply = make_reply(step.text, step.calls, step.reasoning)
        yield replace(reply, problem=problem or step.problem or reply.problem)
    elif step.source == "user":
        yield UserMessage(text=step.text)
    for call_id, text in step.results:
        if step.source in ("agent", RESULT):
            yield Result(text=text, call_ids=(call_id,) if call_id else ())
        else:
            yield UserMessage(text=text)


def _line(step: JSONObject) -> JSONObject:
    """Return a step that we wrote as a step of the store's line."""
    own = read_extra(step.get("extra")) or {}
    reasoning = step.get("reasoning_content") or ""
    results = value_at(step, "observation", "results") or []
    return {
        "thought": own.get("thought", step["message"] or reasoning),
        "actions": [
            {"name": call["function_name"], "arguments": call["arguments"]}
            for call in step.get("tool_calls") or []
        ],
        "observation": "\n".join(text for result in results if (text := text_of(result.get("content")))),
        "reasoning": reasoning,
        "target": own.get("target", True),
    }


def _name(document: Document) -> str:
    """Return the file's name; the trial's folder if it is ``trajectory.json``, as Harbor calls every file."""
    if document.path.name.partition(".")[0] != "trajectory":
        return document.name
    folders = [part for part in document.path.parts[:-1] if part not in _GENERIC_FOLDERS]
    return folders[-1] if folders else document.name
