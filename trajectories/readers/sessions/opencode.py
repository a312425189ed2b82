"""opencode's sessions as ``opencode export`` writes them, or the list of a session's messages."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.events import Event, Reply, Result, UserMessage, fold, record
from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import BAD_CALL, make_reply
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

COMPACTION = "compaction"  # the context was replaced by a summary; the whole history is kept here
OF_THE_USER = "call_of_the_user"  # a command that the user ran: shown to the model, not made by it
ROLLED_BACK = "rolled_back"  # a turn that the user took back

_BY_USER = "The following tool was executed by the user"
_INVALID = "invalid"  # the tool that stands for a call that opencode could not parse
_INTERRUPTED = "[Tool execution was interrupted]"  # as opencode tells the model
_PLAIN_FILES = frozenset({"text/plain", "application/x-directory"})  # shown as texts beside them


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory. Sub-agents are sessions of their own, with their ``parent`` in the metadata."""
    value = document.value
    listed = value if isinstance(value, list) else value.get("messages")
    info = value.get("info") if isinstance(value, dict) else None
    info = info if isinstance(info, dict) else {}
    session = Session(listed if isinstance(listed, list) else [], info)
    folded = fold(session.events())
    for what, times in (+session.notes).items():
        ledger.note(what, document.position, times)
    ids = (text_at(info, "id"), *(text_at(message["info"], "sessionID") for message in session.messages))
    metadata = {"version": text_at(info, "version"), "repo": text_at(info, "directory")}
    metadata["parent"] = text_at(info, "parentID")
    metadata["repo"] = metadata["repo"] or session.folder()
    yield from record(
        folded,
        document,
        ledger,
        source="opencode",
        instance_id=next((found for found in ids if found), None),
        task="\n\n".join(session.typed) or folded.prompt.strip(),
        model=session.model(),
        metadata={key: value for key, value in metadata.items() if value},
    )


class Session:
    """The messages of a session, with what could not be read."""

    def __init__(self, messages: Sequence[JSON], info: JSONObject) -> None:
        self.notes: Counter[str] = Counter()
        self.messages: list[JSONObject] = []
        self.typed: list[str] = []  # by the user before the first call, without what the program adds
        self.acted = False
        for message in messages:
            if isinstance(message, dict) and isinstance(message.get("info"), dict):
                self.messages.append(message)
            else:
                self.notes["message_not_understood"] += 1
        revert = info.get("revert")
        self.reverted_from = revert.get("messageID") if isinstance(revert, dict) else None

    def model(self) -> str | None:
        infos = [message["info"] for message in self.messages]
        chosen = [info["model"] for info in infos if isinstance(info.get("model"), dict)]
        return next((model for of in (*infos, *chosen) if (model := text_at(of, "modelID"))), None)

    def folder(self) -> str | None:
        paths = [message["info"].get("path") for message in self.messages]
        found = (text_at(path, "cwd") for path in paths if isinstance(path, dict))
        return next((folder for folder in found if folder), None)

    def events(self) -> Iterator[Event]:
        by_user: set[JSON] = set()  # ids of messages whose answer the user made
        gone = False
        for message in self.messages:
            info, parts = message["info"], self._parts(message)
            gone = gone or (self.reverted_from is not None and info.get("id") == self.reverted_from)
            if info.get("role") == "user":
                if _is_of_user(parts):
                    by_user.add(str(info.get("id")))
                if not gone:
                    yield from self._user(parts)
            elif info.get("role") != "assistant":
                self.notes["message_not_understood"] += 1
            elif gone:
                replies = (event for event in self._turns(parts, info) if isinstance(event, Reply))
                yield from (replace(reply, problem=ROLLED_BACK) for reply in replies)
            elif info.get("summary") is True:
                self.notes[COMPACTION] += 1
            elif str(info.get("parentID")) in by_user:
                yield from self._of_user(parts)
            else:
                yield from self._turns(parts, info)

    def _parts(self, message: JSONObject) -> list[JSONObject]:
        parts = message.get("parts")
        parts = parts if isinstance(parts, list) else []
        self.notes["part_not_understood"] += sum(not isinstance(part, dict) for part in parts)
        return [part for part in parts if isinstance(part, dict)]

    def _user(self, parts: Sequence[JSONObject]) -> Iterator[Event]:
        """Yield the user's message with what the program put beside it: files, reminders."""
        texts = []
        for part in parts:
            kind, text = part.get("type"), text_at(part, "text")
            if kind == "text" and text and not part.get("ignored"):
                texts.append(text)
                if not part.get("synthetic") and not self.acted:
                    self.typed.append(text.strip())
            elif kind == "file" and part.get("mime") not in _PLAIN_FILES:
                texts.append(f"[{text_at(part, 'filename') or 'file'}]")
        if texts:
            yield UserMessage(text="\n".join(texts))

    def _of_user(self, parts: Sequence[JSONObject]) -> Iterator[Event]:
        for part in parts:
            if part.get("type") == "tool":
                self.notes[OF_THE_USER] += 1
                called = json.dumps(_state(part).get("input"), ensure_ascii=False)
                yield UserMessage(text=f"{part.get('tool')} {called}\n{_output(part)}")

    def _turns(self, parts: Sequence[JSONObject], info: JSONObject) -> Iterator[Event]:
        """Yield the turns of a message: older versions put all steps of an answer into one."""
        steps: list[list[JSONObject]] = [[]]
        for part in parts:
            if part.get("type") == "step-start" and steps[-1]:
                steps.append([])
            elif part.get("type") in ("text", "reasoning", "tool"):
                steps[-1].append(part)
        for number, step in enumerate(steps, 1):
            problem = _error(info, step) if number == len(steps) else None
            if step or problem:
                yield from self._turn(step, problem)

    def _turn(self, step: Sequence[JSONObject], problem: str | None) -> Iterator[Event]:
        texts = [text_at(part, "text") or "" for part in step if part.get("type") == "text"]
        thoughts = [text_at(part, "text") or "" for part in step if part.get("type") == "reasoning"]
        tools = [part for part in step if part.get("type") == "tool"]
        calls = [(part.get("tool"), _state(part).get("input"), part.get("callID")) for part in tools]
        reply = make_reply("\n".join(filter(None, texts)), calls, "\n".join(filter(None, thoughts)))
        if any(part.get("tool") == _INVALID for part in tools):
            reply = replace(reply, calls=(), problem=BAD_CALL)
        if problem:
            reply = replace(reply, problem=problem)
        self.acted = self.acted or bool(reply.calls and not reply.problem)
        yield reply
        for part in tools:
            call_id = part.get("callID")
            yield Result(text=_output(part), call_ids=(call_id,) if isinstance(call_id, str) else ())


def _is_of_user(parts: Sequence[JSONObject]) -> bool:
    """Return whether a message announces a call of the user: a shell line, or a command run by a sub-agent."""
    texts = (text_at(part, "text") or "" for part in parts if part.get("synthetic"))
    return any(text.startswith(_BY_USER) for text in texts) or any(p.get("type") == "subtask" for p in parts)


def _state(part: JSONObject) -> JSONObject:
    state = part.get("state")
    return state if isinstance(state, dict) else {}


def _output(part: JSONObject) -> str:
    """Return a call's result as opencode shows it to the model."""
    state = _state(part)
    if state.get("status") in ("pending", "running"):
        return _INTERRUPTED
    found = state.get("error") if state.get("status") == "error" else state.get("output")
    text = found if isinstance(found, str) else "" if found is None else json.dumps(found, ensure_ascii=False)
    files = state.get("attachments")
    names = [text_at(file, "filename") or "file" for file in files or [] if isinstance(file, dict)]
    return "\n".join([*([text] if text else []), *(f"[{name}]" for name in names)])


def _error(info: JSONObject, step: Sequence[JSONObject]) -> str | None:
    """Return why the program never shows this reply to the model again, None if it does."""
    error = info.get("error")
    if not isinstance(error, dict):
        return None
    if error.get("name") == "MessageAbortedError":
        return None if any(part.get("type") != "reasoning" for part in step) else "aborted"
    return "api_error"
