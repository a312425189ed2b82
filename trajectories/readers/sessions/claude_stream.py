"""Claude Code's stream-json logs, the messages of its Agent SDK, and its action's execution logs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from trajectories.conversation.events import Event, UserMessage, fold, record
from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.sessions.anthropic_lines import Replies, UserTexts, not_of_the_model, reply_id
from trajectories.readers.sessions.session_tree import session_lines
from trajectories.readers.sessions.without_prompt import instance_name, name_as_task
from trajectories.sources.documents import Document
from trajectories.sources.tasks import task_for
from trajectories.task_ids import repository_of
from trajectories.types import JSON, JSONObject, Trajectory

_OTHERS_CALL = "tool_call"  # type of a line of other programs, whose first and last lines are Claude Code's
_OTHERS = "a stream of another program (Cursor, Droid), which has calls of its own form; it is not read"
_RESULT_ONLY = "only the result is there: print the run with --output-format stream-json --verbose"
_OF_THE_RESULT = ("is_error", "subtype", "num_turns", "duration_ms", "total_cost_usd")
_OF_THE_PROGRAM = frozenset({
    "auth_status", "control_cancel_request", "control_request", "control_response", "keep_alive", "prompt_suggestion",
    "rate_limit_event", "system", "tool_progress", "tool_use_summary",
})  # fmt: skip


@dataclass(kw_only=True)
class _Session:
    """A session's lines by agent: None is the main one, a sub-agent is named by the call that started it."""

    name: str
    agents: dict[str | None, list[JSONObject]] = field(default_factory=lambda: {None: []})
    replies: Replies = field(default_factory=Replies)
    facts: dict[str, JSON] = field(default_factory=dict)
    compacted: bool = False  # whether the next line is the summary of what came before


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read the main agent of each session in the log, and its sub-agents as trajectories of their own."""
    notes: Counter[str] = Counter()
    sessions = _sessions(document, notes)
    if notes.pop(_OTHERS_CALL, 0):
        ledger.trajectory(f"{document.position}: {_OTHERS}", 0, reason="unknown_format")
        return
    for session in sessions:
        notes.update(session.replies.notes)
        replied = [agent for agent, lines in session.agents.items() if any(reply_id(line) for line in lines)]
        for agent in replied:
            yield from _read_agent(session, agent, document, ledger)
        if not replied and session.facts and session.facts.keys() <= set(_OF_THE_RESULT):
            ledger.trajectory(f"{document.position}: {_RESULT_ONLY}", 0, reason="no_agent_turn")
    for what, times in notes.items():
        ledger.note(what, document.position, times)


def _sessions(document: Document, notes: Counter[str]) -> list[_Session]:
    sessions: dict[str, _Session] = {}
    latest = ""
    for line in session_lines(document.value, notes):
        latest = text_at(line, "session_id") or text_at(line, "sessionId") or latest
        session = sessions.setdefault(latest, _Session(name=latest or document.name))
        kind = text_at(line, "type")
        if kind == "stream_event":
            notes["partial_message"] += 1  # whole messages repeat what they hold
        elif not_of_the_model(line):
            notes["reply_not_of_the_model"] += 1
        elif kind in ("user", "assistant"):
            session.replies.add(line, reply_id(line))
            agent = text_at(line, "parent_tool_use_id")
            if session.compacted and agent is None:
                session.compacted = False
                if kind == "user" and line.get("isSynthetic") is True:
                    line = {**line, "isCompactSummary": True}
            session.agents.setdefault(agent, []).append(line)
        elif kind == "result":
            session.facts.update(_facts(line, _OF_THE_RESULT))
        elif kind == "system" and line.get("subtype") == "init":
            session.facts.update(_facts(line, ("claude_code_version", "cwd", "model")))
        elif kind == _OTHERS_CALL:
            notes[_OTHERS_CALL] += 1
        elif kind == "system" and line.get("subtype") == "compact_boundary":
            session.compacted = True
            notes["compaction"] += 1
        elif kind not in _OF_THE_PROGRAM:
            notes["line_of_unknown_kind"] += 1
    return list(sessions.values())


def _facts(line: JSONObject, keys: Sequence[str]) -> dict[str, JSON]:
    return {key: line[key] for key in keys if isinstance(line.get(key), str | int | float)}


def _read_agent(
    session: _Session, agent: str | None, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    lines = session.agents[agent]
    folded = fold(_events(lines, session.replies))
    if agent and not folded.prompt.strip():
        folded = replace(folded, prompt=_prompt_of_call(session, agent))
    instance_id = instance_name(document)
    suffix = f"/{agent}" if agent else ""
    task = folded.prompt.strip() or ("" if agent else task_for(document, instance_id))
    task = task or name_as_task(f"{instance_id}{suffix}", folded, ledger, document.position)
    facts = dict(session.facts)
    models = (text_at(line, "message", "model") for line in lines if reply_id(line))
    model = next((name for name in models if name), None) or (None if agent else text_at(facts, "model"))
    yield from record(
        folded,
        document,
        ledger,
        source="claude-stream",
        instance_id=instance_id,
        trajectory_id=f"{session.name}{suffix}",
        position=f"{document.position}{suffix}",
        prompt=task,
        task=task,
        model=model,
        metadata=_metadata(facts, agent, instance_id),
    )


def _metadata(facts: dict[str, JSON], agent: str | None, instance_id: str) -> dict[str, JSON]:
    """Return what the log says of the run; its end and its cost are the main agent's."""
    metadata: dict[str, JSON] = {"version": facts.get("claude_code_version")}
    if facts.get("cwd") and repository_of(instance_id) == instance_id:  # else the id names the repository
        metadata["repo"] = facts["cwd"]
    return metadata if agent else {**metadata, **{key: facts[key] for key in _OF_THE_RESULT if key in facts}}


def _events(lines: Sequence[JSONObject], replies: Replies) -> Iterator[Event]:
    texts = UserTexts()
    seen: set[str] = set()
    for line in lines:
        reply = reply_id(line)
        if reply is None:
            yield from replies.loose_results(line)
            repeats = line.get("isCompactSummary") and seen  # what is kept here anyway
            if line.get("type") == "user" and not repeats and (text := texts.text(line)):
                yield UserMessage(text=text)
        elif reply not in seen:
            seen.add(reply)
            yield from replies.events(reply)


def _prompt_of_call(session: _Session, call_id: str) -> str:
    for lines in session.agents.values():
        for line in lines:
            reply = reply_id(line)
            if reply and (prompt := session.replies.asked_by(reply, call_id)):
                return prompt
    return ""
