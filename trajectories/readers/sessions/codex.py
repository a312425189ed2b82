"""Codex CLI: rollouts (session files), the bare ones of 2025 too, and the event streams of ``codex exec --json``."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

from trajectories.conversation.events import Event, Reply, fold, record
from trajectories.conversation.fields import text_at
from trajectories.conversation.turns import once
from trajectories.ledger import FileLedger
from trajectories.readers.chat import responses
from trajectories.readers.chat.messages import text_of
from trajectories.readers.sessions import codex_exec
from trajectories.readers.sessions.session_tree import session_lines
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

COMPACTION = "compaction"  # the context was replaced by a summary; the whole history is kept here
CONTEXT = "context_message"  # written by the program in the user's name: folder, instructions
ROLLED_BACK = "rolled_back"  # a turn that the user took back
TO_ANOTHER = "message_to_another_agent"  # what this agent sent, recorded beside its call

# Messages in the user's name that the program writes before the task and at each turn.
_CONTEXT = re.compile(
    r"(?:<(?:environment_context|user_instructions|permissions instructions|collaboration_mode|"
    r"apps_instructions|skills_instructions|plugins_instructions|recommended_plugins|personality_spec|"
    r"model_switch)>"
    r"|# AGENTS\.md(?: instructions|\s*<INSTRUCTIONS>))",
    re.IGNORECASE,
)
_IDE = "## My request for Codex:"  # an IDE puts its open files before it
_SEALED = "gAAAAA"  # a text that only the server can read begins so
_PROGRAM_ITEMS = frozenset({"ghost_snapshot", "other"})
_COMPACTIONS = frozenset({"compaction", "compaction_summary", "context_compaction"})
_PROGRAM_LINES = frozenset({"world_state", "token_usage_record", "inter_agent_communication_metadata"})
_REMOTE = re.compile(r"[:/]([^/:\s]+/[^/:\s]+?)(?:\.git)?/?$", re.ASCII)


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read each session of the file; ``document.value`` is the list of the file's lines."""
    notes: Counter[str] = Counter()
    lines = list(session_lines(document.value, notes))
    if odd := notes.total():
        ledger.note("unknown_line", document.position, odd)
    if any(codex_exec.is_event(line) for line in lines):
        yield from codex_exec.read(lines, document, ledger)
        return
    sessions = _sessions(lines)
    for number, session in enumerate(sessions, 1):
        position = document.position if len(sessions) == 1 else f"{document.position} session {number}"
        yield from _read_session(session, position, document, ledger)


def _sessions(lines: Iterable[JSONObject]) -> list["_Rollout"]:
    """Return the sessions of a file. The first line of another session before any item is a fork's parent's."""
    sessions = [_Rollout()]
    for line in lines:
        meta = _meta_of(line)
        if meta is not None and sessions[-1].items and sessions[-1].is_another(meta):
            sessions.append(_Rollout())
        sessions[-1].add(line)
    return sessions


def _meta_of(line: JSONObject) -> JSONObject | None:
    """Return what a line says of its session, None if it is no first line of one."""
    payload = line.get("payload")
    if isinstance(payload, dict):
        return payload if line.get("type") == "session_meta" else None
    return line if "type" not in line and isinstance(line.get("id"), str) and "timestamp" in line else None


def _read_session(
    rollout: "_Rollout", position: str, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    events = once(rollout.events(), lambda what: rollout.notes.update([what]))
    folded = fold(codex_exec.without_last_message(events))
    for what, times in (+rollout.notes).items():
        ledger.note(what, position, times)
    prompt = folded.prompt or "\n\n".join(rollout.typed)
    yield from record(
        folded,
        document,
        ledger,
        source="codex",
        instance_id=rollout.session_id or document.name,
        position=position,
        prompt=prompt,
        task=prompt.rpartition(_IDE)[2].strip() or prompt.strip(),
        model=next(iter(rollout.models), None),
        metadata=rollout.metadata(),
    )


@dataclass(kw_only=True)
class _Rollout:
    """The items of a rollout, with what its other lines say."""

    meta: JSONObject = field(default_factory=dict)  # of the first line; a fork repeats that of its parent
    models: list[str] = field(default_factory=list)
    items: list[JSONObject] = field(default_factory=list)
    rolled_back: list[bool] = field(default_factory=list)  # of each item
    typed: list[str] = field(default_factory=list)  # the user's messages as events
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def session_id(self) -> str | None:
        found = self.meta.get("id") or self.meta.get("session_id")
        return None if found is None else str(found)

    def is_another(self, meta: JSONObject) -> bool:
        """Return whether this is the first line of another session that is no parent of this one."""
        new = meta.get("id") or meta.get("session_id")
        return bool(new) and str(new) not in (self.session_id, _parent(self.meta))

    def add(self, line: JSONObject) -> None:
        kind, payload = text_at(line, "type"), line.get("payload")
        if not isinstance(payload, dict):
            self._add_bare(line)
        elif kind == "response_item":
            self._add_item(payload)
        elif kind == "session_meta":
            self.meta = self.meta or payload
        elif kind == "turn_context":
            self._add_model(payload.get("model"))
        elif kind == "event_msg":
            self._add_event(payload)
        elif kind == "compacted":
            self._add_compacted(payload)
        elif kind == "inter_agent_communication":
            self._add_item({"type": "agent_message", "content": payload.get("content")})
        elif kind not in _PROGRAM_LINES:
            self.notes["unknown_line"] += 1

    def _add_bare(self, line: JSONObject) -> None:
        """Add a line of a rollout before September 2025: the item itself, or the session's first line."""
        if isinstance(line.get("type"), str):
            self._add_item(line)
        elif _meta_of(line):
            self.meta = self.meta or line
        elif line.get("record_type") != "state":
            self.notes["unknown_line"] += 1

    def _add_model(self, model: JSON) -> None:
        if isinstance(model, str) and model and model not in self.models:
            self.models.append(model)
            self.notes["several_models"] += len(self.models) == 2

    def _add_event(self, payload: JSONObject) -> None:
        """Take from the program's events, which repeat the items, what no item says."""
        kind, count = payload.get("type"), payload.get("num_turns")
        if kind == "thread_rolled_back" and isinstance(count, int) and count > 0:
            live = [at for at, gone in enumerate(self.rolled_back) if not gone and _is_typed(self.items[at])]
            first = live[-min(count, len(live))] if live else len(self.items)
            self.rolled_back[first:] = [True] * (len(self.items) - first)
        elif kind == "user_message" and isinstance(payload.get("message"), str):
            self.typed.append(payload["message"])

    def _add_compacted(self, payload: JSONObject) -> None:
        self.notes[COMPACTION] += 1
        if self.items:
            return
        history = payload.get("replacement_history")
        for item in history if isinstance(history, list) else []:
            if isinstance(item, dict):
                self._add_item(item)
        if not self.items and isinstance(payload.get("message"), str):
            self._add_item({"type": "message", "role": "user", "content": payload["message"]})

    def _add_item(self, item: JSONObject) -> None:
        kind = str(item.get("type") or "message")
        if kind in _COMPACTIONS:
            self.notes[COMPACTION] += 1
            return
        if kind in _PROGRAM_ITEMS:
            return
        if kind == "message" and item.get("role") == "user":
            content = _without_context(item.get("content"))
            self.notes[CONTEXT] += content != item.get("content")
            if not content:
                return
            item = {**item, "content": content}
        if kind == "agent_message":
            if item.get("author") is not None and item["author"] == self.agent_path:
                self.notes[TO_ANOTHER] += 1  # the call that sent it is kept
                return
            item = {"type": "message", "role": "user", "content": self._delivered(item.get("content"))}
        elif not responses.is_known(item):
            self.notes["item_not_understood"] += 1
            return
        self.items.append(_cleaned(item, kind))
        self.rolled_back.append(False)

    @property
    def agent_path(self) -> str:
        """Return the name of the agent among those of its session."""
        spawned = _inside(self.meta.get("source"), "subagent", "thread_spawn", "agent_path")
        return text_at(self.meta, "agent_path") or (spawned if isinstance(spawned, str) else "/root")

    def _delivered(self, content: JSON) -> JSON:
        """Return another agent's words. What Codex calls encrypted may be plain."""
        if not isinstance(content, list):
            return content
        blocks: list[JSON] = []
        for block in content:
            if isinstance(block, dict) and isinstance(text := block.get("encrypted_content"), str):
                if text.startswith(_SEALED):
                    self.notes["encrypted_message"] += 1
                    continue
                block = {"type": "input_text", "text": text}
            blocks.append(block)
        return blocks

    def events(self) -> Iterator[Event]:
        for gone, pairs in groupby(zip(self.rolled_back, self.items, strict=True), key=lambda pair: pair[0]):
            for event in responses.events([item for _, item in pairs], self.notes):
                if not gone:
                    yield event
                elif isinstance(event, Reply):
                    yield replace(event, problem=ROLLED_BACK)

    def metadata(self) -> dict[str, JSON]:
        git = self.meta.get("git")
        git = git if isinstance(git, dict) else {}
        found: dict[str, JSON] = {"version": text_at(self.meta, "cli_version")}
        match = _REMOTE.search(text_at(git, "repository_url") or "")
        found["repo"] = match[1] if match else text_at(self.meta, "cwd")
        found |= {"base_commit": text_at(git, "commit_hash"), "parent": _parent(self.meta)}
        return {key: value for key, value in found.items() if value}


def _inside(value: JSON, *keys: str) -> JSON:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _parent(meta: JSONObject) -> str | None:
    """Return the id of the session that this one was forked from, or is a sub-agent of."""
    value = _inside(meta.get("source"), "subagent", "thread_spawn", "parent_thread_id")
    found = (meta.get("forked_from_id"), meta.get("parent_thread_id"), value)
    return next((parent for parent in found if isinstance(parent, str)), None)


def _without_context(content: JSON) -> JSON:
    """Return a user's content without the texts that the program put into it, each a block of its own."""
    if isinstance(content, list):
        return [block for block in content if not _CONTEXT.match(_text(block).lstrip())]
    return "" if _CONTEXT.match(_text(content).lstrip()) else content


def _text(content: JSON) -> str:
    try:
        return text_of([content] if isinstance(content, dict) else content)
    except TypeError:
        return ""


def _is_typed(item: JSONObject) -> bool:
    """Return whether this is a message of the user, who takes turns back by them."""
    return str(item.get("type") or "message") == "message" and item.get("role") == "user"


def _cleaned(item: JSONObject, kind: str) -> JSONObject:
    """Return an item with its output as the text of the tool, and without the bytes of an image."""
    if kind == "image_generation_call":
        return {key: value for key, value in item.items() if key != "result"}
    output = item.get("output")
    if kind.endswith("_output") and isinstance(output, str) and output.startswith('{"'):
        return {**item, "output": _shell_output(output)}
    return item


def _shell_output(output: str) -> str:
    """Return the text of a result in JSON, ``{"output": …, "metadata": {"exit_code": …}}``, any other as it is."""
    try:
        inner = json.loads(output)
    except (ValueError, RecursionError):
        return output
    metadata = inner.get("metadata")
    if not isinstance(inner.get("output"), str) or not isinstance(metadata, dict):
        return output
    code = metadata.get("exit_code")
    return f"{inner['output']}\n[exit code: {code}]" if code else str(inner["output"])
