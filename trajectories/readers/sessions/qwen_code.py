"""Qwen Code chats: a tree of lines as Claude Code's, whose messages are Gemini's contents."""

from collections import Counter
from collections.abc import Iterator, Sequence

from trajectories.conversation.events import Event, UserMessage, fold, record
from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.sessions.gemini_parts import Parts, read_parts
from trajectories.readers.sessions.session_tree import SessionTree, session_lines
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_KINDS = frozenset({"user", "assistant", "tool_result", "system"})


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory for each branch: a conversation that was rewound goes on from an earlier line."""
    notes: Counter[str] = Counter()
    lines = list(session_lines(document.value, notes))
    tree = SessionTree(lines, _reply_id)
    branches = tree.branches()
    notes.update(tree.notes)
    notes["line_of_unknown_kind"] += sum(text_at(line, "type") not in _KINDS for line in lines)
    for what, times in (+notes).items():
        ledger.note(what, document.position, times)
    for number, branch in enumerate(branches, 1):
        suffix = f"#{number}" if len(branches) > 1 else ""
        yield from _read_branch([tree.by_id[uuid] for uuid in branch], suffix, document, ledger)


def _read_branch(
    lines: Sequence[JSONObject], suffix: str, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    folded = fold(_events(lines))
    version, cwd, session, name = (_first(lines, key) for key in ("version", "cwd", "sessionId", "agentId"))
    instance_id = session or document.name
    agent = f"/{name}" if name else ""
    yield from record(
        folded,
        document,
        ledger,
        source="qwen-code",
        instance_id=instance_id,
        trajectory_id=f"{instance_id}{agent}{suffix}",
        position=f"{document.position}{suffix}",
        task=folded.prompt.strip(),
        model=_first(lines, "model"),
        metadata={"version": version, **({"repo": cwd} if cwd else {})},
    )


def _first(lines: Sequence[JSONObject], key: str) -> str | None:
    return next((text for line in lines if (text := text_at(line, key))), None)


def _reply_id(line: JSONObject) -> str | None:
    """Return the line's id if it is a reply, which has a line of its own."""
    if line.get("type") != "assistant" or not isinstance(line.get("message"), dict):
        return None
    return str(line.get("uuid"))


def _events(lines: Sequence[JSONObject]) -> Iterator[Event]:
    prompted = False
    for line in lines:
        parts = _parts(line)
        if parts is None:
            if not prompted and (asked := _inherited_prompt(line)):
                prompted = True
                yield UserMessage(text=asked)
            continue
        if _reply_id(line):
            yield parts.reply()
        yield from parts.results
        if parts.text and not _reply_id(line):
            prompted = True
            yield UserMessage(text=parts.text)


def _parts(line: JSONObject) -> Parts | None:
    message = line.get("message")
    if text_at(line, "type") not in _KINDS or not isinstance(message, dict):
        return None
    return read_parts(message.get("parts", message.get("content")))


def _inherited_prompt(line: JSONObject) -> str:
    """Return the prompt of a forked agent, the last of the user's messages in the history that it starts with."""
    payload = line.get("systemPayload")
    history: JSON = payload.get("history") if isinstance(payload, dict) else None
    if line.get("subtype") != "agent_bootstrap" or not isinstance(history, list):
        return ""
    contents = [content for content in history if isinstance(content, dict) and content.get("role") == "user"]
    return next(
        (text for content in reversed(contents) if (text := read_parts(content.get("parts")).text)), ""
    )
