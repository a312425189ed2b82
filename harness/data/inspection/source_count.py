"""Count what a source document holds of an agent's run, by walking its JSON. No reader has a part in it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.data.inspection.source_marks import (
    AGENT,
    ARGUMENTS,
    BLOCK,
    COPIES,
    IDS,
    KEYS,
    MINI,
    NO_TURNS,
    NOT_MADE,
    OTHER,
    REASONING,
    RESULT,
    TEXT_LISTS,
    TEXTS,
    USER,
    Key,
    arguments_of,
    call_in,
    first,
    holds_run,
    is_objects,
    loaded,
    owner_of,
    role_of,
    text_calls,
)
from trajectories.round_trip import read_extra
from trajectories.sources.documents import DEFAULT_LIMIT, Document, read_documents
from trajectories.types import JSON, JSONObject

_DEEPEST = 100  # levels of a document, below which nothing is looked for

Place = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class SourceCall:
    """A call, and where it stands."""

    key: Key  # name and arguments
    where: str
    reply: str  # the message that holds it
    owner: str  # the sub-agent that made it, empty for the main agent
    call_id: str | None = None
    sound: bool = True  # False: another call of its reply cannot be read


@dataclass(kw_only=True)
class Count:
    """What a run of the source holds."""

    calls: list[SourceCall] = field(default_factory=list)
    fenced: dict[str, list[SourceCall]] = field(default_factory=dict)  # by scaffold: calls in fenced blocks
    seen: set[tuple[str, Key]] = field(default_factory=set)  # calls that have an id
    answers: Counter[str] = field(default_factory=Counter)  # results by the id of their call
    texts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # role -> (text, where)
    unread: int = 0  # calls that are not well formed
    mini: bool = False  # the prompt is mini-swe-agent's

    def made(self, source: str) -> list[SourceCall]:
        """Return the calls; if none is marked, those that the scaffold's rule finds in fenced blocks."""
        return self.calls or self.fenced.get("mini-swe-agent" if self.mini else source, [])


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A run of the source: a document, the lines of a log, or the events of a folder."""

    origin: str
    documents: Sequence[Document]
    own: str = ""  # the trajectory, if this is a row that we wrote ourselves


def units(paths: Iterable[Path], limit: int = DEFAULT_LIMIT) -> Iterator[Unit]:
    """Stream the runs of these files."""
    group: list[Document] = []
    key = ""
    for path in paths:
        for item in read_documents(path, limit=limit):
            if not isinstance(item, Document):
                continue
            if own := read_extra(item.value):
                yield Unit(origin=item.origin, documents=[item], own=str(own.get("trajectory_id")))
                continue
            if not (found := _log_of(item)):
                yield from (Unit(origin=item.origin, documents=[row]) for row in _rows(item))
                continue
            if group and found != key:
                yield _log(key, group)
                group = []
            key = found
            group.append(item)
    if group:
        yield _log(key, group)


def _log(origin: str, events: Iterable[Document]) -> Unit:
    """Return the events of a log in their order, which an archive need not keep."""
    return Unit(origin=origin, documents=sorted(events, key=lambda event: (event.origin, event.line or 0)))


def _log_of(item: Document) -> str:
    """Return the file or the folder that an event belongs to, empty for a run by itself."""
    value = item.value
    if not isinstance(value, Mapping) or holds_run(value):
        return ""
    if item.line is not None:
        return item.origin
    return item.origin.rpartition("/")[0] if str(value.get("kind", "")).endswith("Event") else ""


def _rows(item: Document) -> list[Document]:
    value = item.value
    if not is_objects(value) or not holds_run(value[0]) or "role" in value[0]:
        return [item]
    return [Document(value=row, origin=item.origin, line=number) for number, row in enumerate(value, 1)]


def count(unit: Unit) -> Count:
    """Count the calls and the texts of a run."""
    found = Count()
    for document, owner in zip(unit.documents, _conversations(unit.documents), strict=True):
        _Walk(found, document.position).go(document.value, (), "", _Context(owner=owner))
    return found


def _conversations(documents: Sequence[Document]) -> Iterator[str]:
    """Yield for each event of OpenHands' SDK the one that its conversation begins with, empty for other documents."""
    begun: dict[str, str] = {}
    current = ""
    for document in documents:
        event = document.value if isinstance(document.value, Mapping) else {}
        parent = str(event.get("parent_id"))
        if parent == "__root__" or (event.get("kind") == "SystemPromptEvent" and parent not in begun):
            current = str(event.get("id"))
        else:
            current = begun.get(parent, current)
        if "kind" in event:
            begun[str(event.get("id"))] = current
        yield current


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What the objects around a value say about it."""

    role: str = ""
    owner: str = ""
    reply: str = ""
    native: bool = False  # the message has calls of its own: its text is read for none
    copy: bool = False  # of a message: only its reasoning may stand nowhere else


class _Walk:
    """Goes through a document from top to bottom."""

    def __init__(self, found: Count, position: str) -> None:
        self.found = found
        self.position = position

    def go(self, node: JSON, path: Place, key: str, context: _Context) -> None:
        if len(path) > _DEEPEST:
            return
        if isinstance(node, str):
            if key in TEXT_LISTS and node[:1] == "[":
                self.go(loaded(node), path, key, context)
            elif key in TEXTS or (context.role == REASONING and key in ("summary", "description")):
                self.text(node, path, context)
        elif isinstance(node, list):
            for index, item in enumerate(node):
                self.go(item, (*path, index), key, context)
        elif isinstance(node, Mapping) and node.get("type") not in COPIES and not node.get("is_demo"):
            self.object(node, path, key, context)

    def object(self, node: JSONObject, path: Place, key: str, context: _Context) -> None:
        if {str(node.get("action")), str(node.get("observation"))} & NO_TURNS:
            return
        self.found.mini |= str(node.get("trajectory_format", "")).startswith("mini-swe-agent")
        context = self.context(node, path, context)
        skipped = set(COPIES)
        if context.role in ("", AGENT) and not context.copy and (call := call_in(node, key)):
            self.call(*call, path, context)
            skipped |= self.beside(node, path, replace(context, role=AGENT))
            context = replace(context, role=RESULT)  # what else a call holds is its result
        if isinstance(node.get("observation"), str) and "content" in node:
            skipped |= {"observation", "message"}  # the name of an event, whose text is its content
            context = replace(context, role=RESULT)
        if key == "state" or "completions" in path:
            skipped.add("input")  # of a call, or the messages before a reply
        if "history" in node:
            skipped.add("trajectory")  # the same turns
        for name, value in node.items():
            if name not in skipped:
                role, copy = KEYS.get(name, context.role), context.copy or name == "extra"
                self.go(value, (*path, name), name, replace(context, role=role, copy=copy))
        if context.role == AGENT and not context.native and not context.copy:
            self.fenced(node, path, context)

    def beside(self, node: JSONObject, path: Place, said: _Context) -> set[str]:
        """Take the agent's words beside a call, and return the keys of the call itself."""
        args = node.get("args")
        if isinstance(args, Mapping):  # OpenHands V0
            self.go(args.get("thought"), (*path, "args", "thought"), "thought", said)
        own = {*ARGUMENTS, "action"}
        if "class_" in node:  # ADP
            self.go(node.get("description"), (*path, "description"), "text", said)
            own |= {"description", "content"}
        return own

    def context(self, node: JSONObject, path: Place, around: _Context) -> _Context:
        """Return what an object says about the values in it, and count it as the result of a call if it is one."""
        native = around.native or bool(node.get("tool_calls"))
        context = replace(around, owner=owner_of(node) or around.owner, native=native)
        if role := role_of(node):
            message_id = node.get("llm_response_id") or node.get("id")
            context = replace(context, role=role, reply=str(message_id or self.at(path)))
        if context.role == RESULT and not context.copy and (answered := first(node, IDS[:-1])):
            self.found.answers[str(answered)] += 1
        return context

    def call(self, name: str, raw: JSON, call_id: JSON, path: Place, context: _Context) -> None:
        key = (name, arguments_of(raw))
        if NOT_MADE in dict(key[1]) or (call_id is not None and (str(call_id), key) in self.found.seen):
            return
        self.found.seen.add((str(call_id), key))
        self.add(self.found.calls, key, path, context, call_id=None if call_id is None else str(call_id))

    def add(self, to: list[SourceCall], key: Key, path: Place, context: _Context, **more: JSON) -> None:
        to.append(SourceCall(key=key, where=self.at(path), reply=context.reply, owner=context.owner, **more))

    def text(self, text: str, path: Place, context: _Context) -> None:
        role = context.role or OTHER
        if context.copy and role != REASONING:
            return
        if role == AGENT:
            thinking, _, text = text.rpartition("</think>")
            self.keep(REASONING, thinking.replace("<think>", ""), path)
            calls = [] if context.native else list(text_calls(text))
            self.found.unread += calls.count(None)
            for key in filter(None, calls):
                self.add(self.found.calls, key, path, context, sound=None not in calls)
        elif AGENT not in self.found.texts:
            self.found.mini = self.found.mini or bool(MINI.search(text))
        elif role == USER and not self.found.seen:
            role = RESULT  # where calls are text, their results are the user's messages
        self.keep(role, text, path)

    def keep(self, role: str, text: str, path: Place) -> None:
        if text.strip():
            self.found.texts.setdefault(role, []).append((text, self.at(path)))

    def fenced(self, node: JSONObject, path: Place, context: _Context) -> None:
        """Keep the shell line of a reply without calls, by the rule of each scaffold that has such lines."""
        text = str(node.get("content"))
        blocks = BLOCK.findall(text)
        line = node.get("action")
        if not isinstance(line, str) and text.rstrip().endswith("```"):
            line = f"\n{text.rstrip()[:-3]}".rpartition("\n```")[2].partition("\n")[2]
        for scaffold, command in (
            *((("mini-swe-agent", block) for block in blocks) if len(blocks) == 1 else ()),
            *((name, line) for name in ("swe-agent", "swe-smith") if isinstance(line, str) and line.strip()),
        ):
            key = ("bash", arguments_of({"command": command}))
            self.add(self.found.fenced.setdefault(scaffold, []), key, path, context)

    def at(self, path: Place) -> str:
        return f"{self.position} $" + "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in path
        )
