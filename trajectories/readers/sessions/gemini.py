"""Gemini CLI sessions: one ``.json`` document, or the newer ``.jsonl`` of records that change each other."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from trajectories.conversation.events import Event, Result, UserMessage, fold, record
from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.sessions.gemini_parts import Parts, read_parts
from trajectories.readers.sessions.session_tree import session_lines
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

REWOUND = "rolled_back"  # a turn that the user took back
CONTEXT = "context_message"  # written by the program in the user's name: folder, date, hooks
COMPACTION = "compaction"  # the context was replaced by a summary; the whole history is kept here
NOT_OF_THE_MODEL = "reply_not_of_the_model"  # the program's words in the model's name
COMMAND = "command_of_the_program"  # such as /clear: the model never sees it

_CONTEXT = re.compile(r"<(?:session_context|hook_context)>")
_COMMAND = re.compile(r"[/?][\w:-]*(?:\s|\Z)")
_OF_THE_PROGRAM = frozenset({"info", "error", "warning"})


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read each session; ``document.value`` is the list of the file's lines, or the only document."""
    notes: Counter[str] = Counter()
    sessions = [_Session()]
    for line in session_lines(document.value, notes):
        if sessions[-1].ends_before(line):
            sessions.append(_Session())
        sessions[-1].add(line)
    sessions[0].notes["unknown_line"] += notes.total()
    for number, session in enumerate(sessions, 1):
        position = document.position if len(sessions) == 1 else f"{document.position} session {number}"
        yield from _read_session(session, position, document, ledger)


def _read_session(
    session: "_Session", position: str, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    folded = fold(session.events())
    for what, times in (+session.notes).items():
        ledger.note(what, position, times)
    session_id = str(session.facts.get("sessionId") or document.name)
    directories = session.facts.get("directories")
    folder = directories[0] if isinstance(directories, list) and directories else None
    metadata: dict[str, JSON] = {"kind": session.facts.get("kind"), "repo": folder}
    metadata["repo"] = metadata["repo"] or text_at(session.facts, "projectHash")
    models = (text_at(message, "model") for message in session.messages.values())
    yield from record(
        folded,
        document,
        ledger,
        source="gemini",
        instance_id=session_id,
        position=position,
        model=next((model for model in models if model), None),
        metadata={key: value for key, value in metadata.items() if isinstance(value, str)},
    )


@dataclass(kw_only=True)
class _Session:
    """The messages by id, as the records up to now leave them."""

    facts: dict[str, JSON] = field(default_factory=dict)
    messages: dict[str, JSONObject] = field(default_factory=dict)
    rewound: list[JSONObject] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    since_reply: set[str] = field(default_factory=set)  # messages after the last reply of the model

    def ends_before(self, line: JSONObject) -> bool:
        """Return whether a record is the first one of another session."""
        if "id" in line or not isinstance(line.get("sessionId"), str):
            return False
        return bool(self.messages) and self.facts.get("sessionId") not in (None, line["sessionId"])

    def add(self, line: JSONObject) -> None:
        """Apply a record, in the order of kinds in which Gemini CLI's own loader looks for them."""
        if isinstance(line.get("$rewindTo"), str):
            self._rewind(line["$rewindTo"])
        elif isinstance(line.get("id"), str):
            self._add_message(line["id"], line)
        elif isinstance(changes := line.get("$set"), dict):
            if isinstance(changes.get("messages"), list):
                self._replace([message for message in changes["messages"] if _has_id(message)])
            self.facts |= {key: value for key, value in changes.items() if key != "messages"}
        elif "sessionId" in line or isinstance(line.get("messages"), list):
            self.facts |= {key: value for key, value in line.items() if key != "messages"}
            messages = line.get("messages")
            for number, message in enumerate(messages if isinstance(messages, list) else []):
                if isinstance(message, dict):
                    key = message["id"] if _has_id(message) else f"message {number}"
                    self._add_message(key, message)
                else:
                    self.notes["message_not_understood"] += 1
        else:
            self.notes["unknown_line"] += 1

    def _add_message(self, key: str, message: JSONObject) -> None:
        self.messages[key] = message
        if message.get("type") == "gemini" and message.get("model"):
            self.since_reply.clear()
        else:
            self.since_reply.add(key)

    def _replace(self, messages: Sequence[JSONObject]) -> None:
        """Take over a rewritten history. Replies that a compression leaves out were made, and stay.

        Then the messages recorded just before it only say again what was kept.
        """
        listed = {message["id"]: message for message in messages}
        gone = [key for key in self.messages if key not in listed]
        if any(_is_substantial(self.messages[key]) for key in gone):
            self.notes[COMPACTION] += 1
            for key in self.since_reply & set(listed):
                del self.messages[key]
        else:
            for key in gone:
                del self.messages[key]
            self.messages |= {key: message for key, message in listed.items() if key not in self.messages}
        self.since_reply.clear()

    def _rewind(self, message_id: str) -> None:
        """Take back this message and those after it; all of them if it is unknown, as the program does."""
        keys = list(self.messages)
        start = keys.index(message_id) if message_id in self.messages else 0
        self.rewound += [self.messages.pop(key) for key in keys[start:]]

    def events(self) -> Iterator[Event]:
        for message in self.rewound:
            if message.get("type") == "gemini":
                yield replace(_parts_of(message).reply(), problem=REWOUND)
        answered: set[str] = set()
        for message in self.messages.values():
            kind = text_at(message, "type")
            if kind == "gemini":
                yield from self._turn(message, answered)
            elif kind == "user":
                yield from self._user(message, answered)
            else:
                self.notes["message_of_the_program" if kind in _OF_THE_PROGRAM else "unknown_line"] += 1

    def _turn(self, message: JSONObject, answered: set[str]) -> Iterator[Event]:
        parts = _parts_of(message)
        if isinstance(message.get("content"), list) and not message.get("model") and not parts.calls:
            self.notes[NOT_OF_THE_MODEL] += 1
            return
        yield parts.reply()
        for result in _results(message):
            answered |= set(result.call_ids)
            yield result

    def _user(self, message: JSONObject, answered: set[str]) -> Iterator[Event]:
        """Yield the user's words. Results that the calls hold too are in newer sessions a message as well."""
        parts = read_parts(message.get("content"))
        yield from (result for result in parts.results if not answered & set(result.call_ids))
        text = parts.text.strip()
        if not text:
            return
        if _CONTEXT.match(text):
            self.notes[CONTEXT] += 1
        elif _COMMAND.match(text):
            self.notes[COMMAND] += 1
        else:
            yield UserMessage(text=parts.text)


def _has_id(message: JSON) -> bool:
    return isinstance(message, dict) and isinstance(message.get("id"), str)


def _is_substantial(message: JSONObject) -> bool:
    if message.get("type") != "gemini":
        return False
    parts = _parts_of(message)
    return bool(parts.text.strip() or parts.calls)


def _tool_calls(message: JSONObject) -> list[JSONObject]:
    calls = message.get("toolCalls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _parts_of(message: JSONObject) -> Parts:
    """Return a reply's parts: its content, its summaries of thoughts, and the calls beside the content."""
    parts = read_parts(message.get("content"))
    known = [call_id for _, _, call_id in parts.calls]
    calls = [(call.get("name"), call.get("args"), call.get("id")) for call in _tool_calls(message)]
    calls = [call for call in calls if call[2] is None or call[2] not in known]
    thoughts = message.get("thoughts")
    texts = [_thought(thought) for thought in thoughts] if isinstance(thoughts, list) else []
    return replace(
        parts, calls=(*parts.calls, *calls), thoughts="\n".join(filter(None, texts)) or parts.thoughts
    )


def _thought(thought: JSON) -> str:
    if not isinstance(thought, dict):
        return thought if isinstance(thought, str) else ""
    subject, description = text_at(thought, "subject"), text_at(thought, "description") or ""
    return f"**{subject}** {description}".strip() if subject else description


def _results(message: JSONObject) -> Iterator[Result]:
    """Yield what the calls hold of their results. A result may hold the parts of its neighbours too."""
    for call in _tool_calls(message):
        call_id, result = call.get("id"), call.get("result")
        ids = (call_id,) if isinstance(call_id, str) and call_id else ()
        parts = read_parts(result)
        texts = [
            found.text for found in parts.results if not found.call_ids or set(found.call_ids) & set(ids)
        ]
        text = "\n".join(filter(None, [*texts, parts.text]))
        if not text and result is None and isinstance(call.get("resultDisplay"), str):
            text = call["resultDisplay"]
        if text or result is not None:
            yield Result(text=text, call_ids=ids)
