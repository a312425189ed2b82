"""Pi sessions of versions 1 to 3, and OpenClaw's, which are the same: a tree of entries, one a line."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.events import Event, Reply, Result, UserMessage, record
from trajectories.conversation.fields import path_to, text_at
from trajectories.conversation.reasoning import ENCRYPTED
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import make_reply, text_of
from trajectories.readers.sessions.session_tree import session_lines
from trajectories.round_trip import KEY
from trajectories.schema_check import checked
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

COMPACTION = "compaction"  # the context was replaced by a summary; the whole history is kept here
NOT_OF_THE_MODEL = "reply_not_of_the_model"  # OpenClaw records what it delivered to a chat as a reply
SUMMARY = (
    "The following is a summary of a branch that this conversation came back from:\n\n<summary>\n{}</summary>"
)

_BROKEN = {
    "error": "api_error",
    "aborted": "aborted",
}  # stop reason -> why the program never shows the turn again
_CALLS = frozenset({"toolCall", "toolUse", "tool_use", "functionCall"})
_MIRRORS = frozenset({"delivery-mirror", "gateway-injected"})  # models of OpenClaw that are none
_OF_THE_PROGRAM = frozenset({"thinking_level_change", "model_change", "custom", "label", "session_info"})
_ROLES = frozenset({
    "user", "assistant", "toolResult", "bashExecution", "custom", "hookMessage", "branchSummary", "compactionSummary",
    "system", "developer",
})  # fmt: skip
_IN_CONTEXT = frozenset({"message", "custom_message", "branch_summary", COMPACTION})


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory for each branch of each session; ``document.value`` is the list of the file's lines.

    A branch is identified by its last reply. Turns before a fork are part of each of its branches.
    """
    notes: Counter[str] = Counter()
    lines = list(session_lines(document.value, notes))
    if odd := notes.total():
        ledger.note("unknown_line", document.position, odd)
    sessions: list[list[JSONObject]] = []
    for line in lines:
        if not sessions or line.get("type") == "session":
            sessions.append([])
        sessions[-1].append(line)
    for number, session in enumerate(sessions, 1):
        position = document.position if len(sessions) == 1 else f"{document.position} session {number}"
        own = _own(session)
        if own is None:
            yield from _read(session, position, document, ledger)
        else:
            trajectory = checked(own)
            ledger.trajectory(position, len(trajectory.steps))
            yield trajectory


def _read(
    lines: Sequence[JSONObject], position: str, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    session = _Session(lines)
    for what, times in session.notes.items():
        ledger.note(what, position, times)
    header = session.header
    session_id = str(header.get("id") or document.name)
    version = header.get("version", 1)
    metadata: dict[str, JSON] = {"version": version if isinstance(version, int) else None}
    metadata["repo"] = text_at(header, "cwd")
    metadata["parent"] = text_at(header, "parentSession")
    branches = session.branches()
    for number, branch in enumerate(branches, 1):
        suffix = f"#{number}" if len(branches) > 1 else ""
        yield from record(
            _events(branch),
            document,
            ledger,
            source="pi",
            instance_id=session_id,
            trajectory_id=f"{session_id}{suffix}",
            position=f"{position}{suffix}",
            model=_model(branch),
            metadata={key: value for key, value in metadata.items() if value},
        )


class _Session:
    """The entries of a session by id, each with its parent."""

    def __init__(self, lines: Sequence[JSONObject]) -> None:
        self.header: JSONObject = {}
        self.by_id: dict[str | None, JSONObject] = {}
        self.notes: Counter[str] = Counter()
        self._last_reply: dict[str | None, str | None] = {}  # of an entry: the last reply on its path
        before: str | None = None
        known = {line["id"] for line in lines if isinstance(line.get("id"), str)}
        is_tree = any(isinstance(line.get("parentId"), str) for line in lines)
        for number, line in enumerate(lines):
            if line.get("type") == "session":
                self.header = line
                continue
            own_id = line.get("id")
            key = own_id if isinstance(own_id, str) and own_id not in self.by_id else f"line {number}"
            parent = (
                line.get("parentId", before) if is_tree else before
            )  # version 1 has neither ids nor parents
            if parent is not None and parent != before and not (isinstance(parent, str) and parent in known):
                self.notes["parent_in_no_file"] += 1
                parent = before
            self.by_id[key] = {**line, "id": key, "parentId": parent}
            before = key
            self._count(line)
        self.notes = +self.notes

    def _count(self, line: JSONObject) -> None:
        kind, message = text_at(line, "type"), _message(line)
        self.notes["unknown_line"] += kind not in _OF_THE_PROGRAM | _IN_CONTEXT
        self.notes[COMPACTION] += kind == COMPACTION
        self.notes["message_not_understood"] += kind == "message" and text_at(message, "role") not in _ROLES
        if message.get("role") == "assistant":
            self.notes[NOT_OF_THE_MODEL] += not _is_reply(line)
            self.notes[ENCRYPTED] += sum(_is_encrypted(block) for block in _blocks(message))

    def branches(self) -> list[list[JSONObject]]:
        """Return the entries of each branch from its root, with what follows its last reply."""
        replies = [key for key, entry in self.by_id.items() if _is_reply(entry)]
        continued = {self.last_reply(self.by_id[key]["parentId"]) for key in replies}
        ends = {self.last_reply(key): key for key in self.by_id}  # the last entry after each reply
        finals = [key for key in replies if key not in continued]
        ends_of_branches = [ends[key] for key in finals] or list(self.by_id)[-1:]
        paths = [path_to(end, self.by_id, lambda entry: entry["parentId"]) for end in ends_of_branches]
        return paths or [[]]

    def last_reply(self, key: str | None) -> str | None:
        way: list[str | None] = []
        while key in self.by_id and key not in self._last_reply:
            self._last_reply[key] = key if _is_reply(self.by_id[key]) else None
            if self._last_reply[key]:
                break
            way.append(key)
            key = self.by_id[key]["parentId"]
        found = self._last_reply.get(key)
        self._last_reply |= dict.fromkeys(way, found)
        return found


def _message(entry: JSONObject) -> JSONObject:
    message = entry.get("message")
    return message if entry.get("type") == "message" and isinstance(message, dict) else {}


def _is_reply(entry: JSONObject) -> bool:
    message = _message(entry)
    return message.get("role") == "assistant" and text_at(message, "model") not in _MIRRORS


def _broken(entry: JSONObject) -> str | None:
    return _BROKEN.get(text_at(_message(entry), "stopReason") or "")


def _model(branch: Sequence[JSONObject]) -> str | None:
    replies = [
        text_at(_message(entry), "model") for entry in branch if _is_reply(entry) and not _broken(entry)
    ]
    changes = [text_at(entry, "modelId") for entry in branch if entry.get("type") == "model_change"]
    return next((model for model in (*replies, *changes) if model), None)


def _events(branch: Sequence[JSONObject]) -> Iterator[Event]:
    """Yield the events of a branch. The summary of a compaction is the prompt only if nothing comes before it."""
    found = False
    for entry in branch:
        message, kind = _message(entry), entry.get("type")
        event: Event | None = None
        if kind == "custom_message":
            event = UserMessage(text=_text(entry.get("content")))
        elif kind == "branch_summary":
            event = UserMessage(text=SUMMARY.format(_text(entry.get("summary"))))
        elif kind == COMPACTION and not found:
            event = UserMessage(text=_text(entry.get("summary")))
        elif _is_reply(entry):
            event = _reply(message, _broken(entry))
        elif message.get("role") == "toolResult":
            call_id = message.get("toolCallId")
            ids = (call_id,) if isinstance(call_id, str) and call_id else ()
            event = Result(text=_text(message.get("content")), call_ids=ids)
        elif message:
            event = _user_message(message, found)
        if event is not None:
            found = True
            yield event


def _user_message(message: JSONObject, found: bool) -> Event | None:
    """Return a message that the model sees as the user's."""
    role = message.get("role")
    if role in ("user", "custom", "hookMessage"):
        return UserMessage(text=_text(message.get("content")))
    if role == "bashExecution" and not message.get("excludeFromContext"):
        return UserMessage(text=_shell_text(message))
    if role == "branchSummary":
        return UserMessage(text=SUMMARY.format(_text(message.get("summary"))))
    if role == "compactionSummary" and not found:
        return UserMessage(text=_text(message.get("summary")))
    return None


def _shell_text(message: JSONObject) -> str:
    """Return a command that the user ran, as Pi shows it to the model."""
    output, code = text_at(message, "output"), message.get("exitCode")
    text = f"Ran `{message.get('command')}`\n" + (f"```\n{output}\n```" if output else "(no output)")
    if message.get("cancelled"):
        return f"{text}\n\n(command cancelled)"
    return f"{text}\n\nCommand exited with code {code}" if code else text


def _blocks(message: JSONObject) -> list[JSONObject]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _is_encrypted(block: JSONObject) -> bool:
    if block.get("type") != "thinking":
        return False
    return bool(block.get("redacted") or (block.get("thinkingSignature") and not block.get("thinking")))


def _reply(message: JSONObject, broken: str | None) -> Reply:
    texts: list[str] = []
    thinking: list[str] = []
    calls: list[tuple[JSON, JSON, JSON]] = []
    for block in _blocks(message):
        kind = text_at(block, "type")
        if kind in _CALLS:
            arguments = block.get("arguments", block.get("input"))
            calls.append((block.get("name"), arguments, block.get("id")))
        elif kind == "thinking":
            thinking += [] if _is_encrypted(block) else [text_at(block, "thinking") or ""]
        else:
            texts.append(_text([block]))
    reply = make_reply("\n".join(filter(None, texts)), calls, "\n".join(filter(None, thinking)))
    return replace(reply, problem=broken or reply.problem)


def _text(content: JSON) -> str:
    """Return the text of a message's content; OpenClaw's tools may give objects of their own."""
    if isinstance(content, dict) and not isinstance(content.get("text"), str):
        return json.dumps(content, ensure_ascii=False)
    try:
        return text_of(content)
    except TypeError:
        return json.dumps(content, ensure_ascii=False)


def _own(lines: Sequence[JSONObject]) -> JSONObject | None:
    """Return the store's line of a session that we wrote and whose form is unchanged, None for any other."""
    marks = [line for line in lines[:2] if line.get("customType") == KEY]
    data = marks[0].get("data") if marks else None
    if not isinstance(data, dict) or data.get("lines") != len(lines):
        return None
    messages = [_message(line) for line in lines[2:]]
    fields = {key: value for key, value in data.items() if key not in ("lines", "context_only")}
    try:
        steps = _own_steps(messages[1:], data.get("context_only") or [])
        return {**fields, "task": text_of(messages[0]["content"]), "steps": steps}
    except (LookupError, TypeError):
        return None


def _own_steps(messages: Sequence[JSONObject], context_only: Sequence[JSON]) -> list[dict[str, JSON]]:
    steps: list[dict[str, JSON]] = []
    for message in messages:
        if message["role"] == "assistant":
            steps.append(_own_step(message) | {"target": len(steps) not in context_only})
        else:
            steps[-1]["observation"] += text_of(message["content"])
    return steps


def _own_step(message: JSONObject) -> dict[str, JSON]:
    blocks = message["content"]
    thinking = [block["thinking"] for block in blocks if block["type"] == "thinking"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    calls = [block for block in blocks if block["type"] == "toolCall"]
    reasoning = thinking[0] if thinking else ""
    return {
        "thought": texts[0] if texts else reasoning,
        "reasoning": reasoning,
        "actions": [{"name": call["name"], "arguments": call["arguments"]} for call in calls],
        "observation": "",
    }
