"""Codex CLI: rollouts (session files), the bare ones of 2025 too, and the event streams of ``codex exec --json``."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby

from trajectories.conversation.events import Event, Reply, fold, record
from trajectories.conversation.fields import text_at
from trajectories.conversation.turns import once
from trajectories.ledger import FileLedger
from trajectories.readers.chat import responses
from trajectories.readers.chat.messages import text_of
from trajectories.readers.sessions import codex_exec
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

COMPACTION = "compaction"  # the context was replaced by a summary; the whole history is kept here
CONTEXT = "context_message"  # written by the program in the user's name: folder, instructions
ROLLED_BACK = "rolled_back"  # a turn that the user took back

# Messages in the user's name that the program writes before the task and at each turn.
_CONTEXT = re.compile(
    r"(?:<(?:environment_context|user_instructions|permissions instructions|collaboration_mode|"
    r"apps_instructions|skills_instructions|plugins_instructions|personality_spec|model_switch)>"
    r"|# AGENTS\.md instructions)",
    re.IGNORECASE,
)
_IDE = "## My request for Codex:"  # an IDE puts its open files before it
_PROGRAM_ITEMS = frozenset({"ghost_snapshot", "other"})
_COMPACTIONS = frozenset({"compaction", "compaction_summary", "context_compaction"})
_PROGRAM_LINES = frozenset({"world_state", "token_usage_record", "inter_agent_communication_metadata"})
_REMOTE = re.compile(r"[:/]([^/:\s]+/[^/:\s]+?)(?:\.git)?/?$", re.ASCII)


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory; ``document.value`` is the list of the file's lines."""
    lines = [line for line in document.value if isinstance(line, Mapping)]
    if odd := len(document.value) - len(lines):
        ledger.note("unknown_line", document.position, odd)
    if any(codex_exec.is_event(line) for line in lines):
        yield from codex_exec.read(lines, document, ledger)
        return
    rollout = _Rollout()
    for line in lines:
        rollout.add(line)
    events = once(rollout.events(), lambda what: rollout.notes.update([what]))
    folded = fold(codex_exec.without_last_message(events))
    for what, times in (+rollout.notes).items():
        ledger.note(what, document.position, times)
    prompt = folded.prompt or "\n\n".join(rollout.typed)
    session_id = rollout.meta.get("id") or rollout.meta.get("session_id") or document.name
    yield from record(
        folded,
        document,
        ledger,
        source="codex",
        instance_id=str(session_id),
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

    def add(self, line: JSONObject) -> None:
        kind, payload = text_at(line, "type"), line.get("payload")
        if not isinstance(payload, Mapping):
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
        elif "instructions" in line or "git" in line:
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
            if isinstance(item, Mapping):
                self._add_item(item)
        if not self.items and isinstance(payload.get("message"), str):
            self._add_item({"type": "message", "role": "user", "content": payload["message"]})

    def _add_item(self, item: JSONObject) -> None:
        kind = str(item.get("type") or "message")
        if kind in _COMPACTIONS:
            self.notes[COMPACTION] += 1
        elif kind == "message" and item.get("role") == "user" and _CONTEXT.match(_text(item).lstrip()):
            self.notes[CONTEXT] += 1
        elif kind not in _PROGRAM_ITEMS:
            if kind == "agent_message":  # another agent's words
                item = {"type": "message", "role": "user", "content": item.get("content")}
            elif not responses.is_known(item):
                self.notes["item_not_understood"] += 1
                return
            self.items.append(_cleaned(item, kind))
            self.rolled_back.append(False)

    def events(self) -> Iterator[Event]:
        for gone, pairs in groupby(zip(self.rolled_back, self.items, strict=True), key=lambda pair: pair[0]):
            for event in responses.events([item for _, item in pairs], self.notes):
                if not gone:
                    yield event
                elif isinstance(event, Reply):
                    yield replace(event, problem=ROLLED_BACK)

    def metadata(self) -> dict[str, JSON]:
        git = self.meta.get("git")
        git = git if isinstance(git, Mapping) else {}
        found: dict[str, JSON] = {"version": text_at(self.meta, "cli_version")}
        match = _REMOTE.search(text_at(git, "repository_url") or "")
        found["repo"] = match[1] if match else text_at(self.meta, "cwd")
        found |= {"base_commit": text_at(git, "commit_hash"), "parent": _parent(self.meta)}
        return {key: value for key, value in found.items() if value}


def _parent(meta: JSONObject) -> str | None:
    """Return the id of the session that this one was forked from, or is a sub-agent of."""
    value: JSON = meta.get("source")
    for key in ("subagent", "thread_spawn", "parent_thread_id"):
        value = value.get(key) if isinstance(value, Mapping) else None
    found = (meta.get("forked_from_id"), meta.get("parent_thread_id"), value)
    return next((parent for parent in found if isinstance(parent, str)), None)


def _text(item: JSONObject) -> str:
    try:
        return text_of(item.get("content"))
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
    if not isinstance(inner.get("output"), str) or not isinstance(metadata, Mapping):
        return output
    code = metadata.get("exit_code")
    return f"{inner['output']}\n[exit code: {code}]" if code else str(inner["output"])
