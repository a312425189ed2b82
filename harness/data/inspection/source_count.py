"""Count what a source document holds of an agent's run, by walking its JSON. No reader has a part in it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.data.inspection.source_marks import (
    AGENT,
    ARGUMENTS,
    BLOCK,
    CODEX_EVENTS,
    COPIES,
    IDS,
    KEYS,
    MINI,
    NO_TURNS,
    NOT_MADE,
    OTHER,
    REASONING,
    RESULT,
    TASKS,
    TEXT_HOLDERS,
    TEXT_LISTS,
    TEXTS,
    USER,
    Key,
    arguments_of,
    call_in,
    first,
    has_native_calls,
    holds_run,
    is_nested,
    is_objects,
    loaded,
    owner_of,
    role_of,
    terminus_calls,
    terminus_reply,
    text_calls,
)
from harness.data.inspection.source_text import json_calls, tagged_calls, terminus_xml
from trajectories.round_trip import read_extra
from trajectories.sources.documents import DEFAULT_LIMIT, Document, read_documents
from trajectories.types import JSON, JSONObject

_RUNNING = "Running command: "  # OpenHands' description of a call
_DEEPEST = 100  # levels of a document, below which nothing is looked for

Place = tuple[str | int, ...]
Pair = tuple[tuple[tuple[str, Key], ...], str, str]  # (scaffold, call), …, their result, and where it stands


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
    """Calls, results and texts of a run of the source."""

    calls: list[SourceCall] = field(default_factory=list)
    fenced: dict[str, list[SourceCall]] = field(default_factory=dict)  # by scaffold: calls in fenced blocks
    seen: set[tuple[str, Key]] = field(default_factory=set)  # calls that have an id
    answers: Counter[str] = field(default_factory=Counter)  # results by the id of their call
    texts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # role -> (text, where)
    pairs: list[Pair] = field(default_factory=list)
    by_id: dict[str, Key] = field(default_factory=dict)
    last: tuple[str, list[tuple[str, Key]]] = (
        "",
        [],
    )  # the last reply, and its calls, each with its scaffold
    unread: int = 0  # calls that are not well formed
    mini: bool = False  # the prompt is mini-swe-agent's

    def made(self, source: str) -> list[SourceCall]:
        """Return the calls; if none is marked, those that the scaffold's rule finds in fenced blocks."""
        return self.calls or self.fenced.get(self._scaffold(source), [])

    def answered(self, source: str) -> Iterator[tuple[Sequence[Key], str, str]]:
        """Yield each result with the calls that it may be of, and where it stands."""
        scaffold = "" if self.calls else self._scaffold(source)
        for calls, text, where in self.pairs:
            yield [key for name, key in calls if name == scaffold], text, where

    def _scaffold(self, source: str) -> str:
        return "mini-swe-agent" if self.mini else source


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
        # In a session's line a call is a block; its text holds none.
        native = isinstance(document.value, Mapping) and {"uuid", "sessionId"} <= document.value.keys()
        _Walk(found, document.position).go(document.value, (), "", _Context(owner=owner, native=native))
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
    """Facts about a value from the objects around it."""

    role: str = ""
    owner: str = ""
    reply: str = ""
    said: str = ""  # beside its calls
    answered: str = ""  # the id of the call that a result is of
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
            if node[:1] in TEXT_HOLDERS.get(key, ()) and (held := loaded(node)) is not None:
                self.go(held, path, key, context)
            elif key in TEXT_LISTS and node[:1] == "[":
                self.go(loaded(node), path, key, context)
            elif key in TEXTS or (context.role == REASONING and key in ("summary", "description")):
                self.text(node, path, context)
        elif isinstance(node, list):
            native = context.native or any(map(has_native_calls, node))
            for index, item in enumerate(node):
                self.go(item, (*path, index), key, replace(context, native=native))
        elif isinstance(node, Mapping) and str(node.get("type")) not in COPIES and not node.get("is_demo"):
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
            # What else a call holds is its result.
            context = replace(context, role=RESULT, answered=str(call[2] or context.answered))
        about = node.get("tool_call_metadata")
        call_id = about.get("tool_call_id") if isinstance(about, Mapping) else None
        if isinstance(node.get("observation"), str) and "content" in node:
            skipped |= {"observation", "message"}  # the name of an event, whose text is its content
            context = replace(context, role=RESULT, answered=str(call_id or node.get("cause")))
        if is_nested(node.get("output")):  # Aviary's: each is the beginning of the last
            node = {**node, "output": node["output"][-1]}
        if key == "state" or "completions" in path:
            skipped.add("input")  # of a call, or the messages before a reply
        if not path and any(name in node for name in TEXT_LISTS):
            skipped |= {"reasoning", "thinking"}  # columns of a row: settings
            self.columns(node)
            skipped |= TASKS
        if "history" in node:
            skipped.add("trajectory")  # the same turns
        # Moatless has a result before its call.
        for name, value in sorted(node.items(), key=lambda item: item[0] == "observation"):
            if name not in skipped:
                role, copy = KEYS.get(name, context.role), context.copy or name == "extra"
                self.go(value, (*path, name), name, replace(context, role=role, copy=copy))
        if str(call_id) in self.found.by_id:  # OpenHands: results may name the event, not the call
            self.found.by_id.setdefault(str(node.get("id")), self.found.by_id[str(call_id)])
        if not context.native and not context.copy:
            for call_key in json_calls(node):
                self.add(self.found.calls, call_key, path, context)
            if context.role == AGENT:
                self.fenced(node, path, context)

    def columns(self, node: JSONObject) -> None:
        """Take the columns of a row that tell its task, which may stand behind the messages."""
        for name in sorted(TASKS & node.keys()):
            if isinstance(node[name], str):
                self.keep(USER, node[name], (name,))

    def beside(self, node: JSONObject, path: Place, said: _Context) -> set[str]:
        """Take the agent's words beside a call, and return the keys of the call itself."""
        args = node.get("args")
        if isinstance(args, Mapping):  # OpenHands V0
            self.go(args.get("thought"), (*path, "args", "thought"), "thought", said)
        own = {*ARGUMENTS, "action", "custom", *CODEX_EVENTS.get(str(node.get("type")), ("", ()))[1]}
        if "class_" in node:  # ADP
            self.go(node.get("description"), (*path, "description"), "text", said)
            own |= {"description", "content"}
        return own

    def context(self, node: JSONObject, path: Place, around: _Context) -> _Context:
        """Return what an object says about the values in it, and count it as the result of a call if it is one."""
        native = around.native or bool(node.get("tool_calls"))
        said = str(node.get("message", "")) if node.get("tool_calls") else around.said
        context = replace(around, owner=owner_of(node) or around.owner, native=native, said=said)
        if role := role_of(node):
            message_id = node.get("llm_response_id") or node.get("id")
            context = replace(context, role=role, reply=str(message_id or self.at(path)))
        if role == AGENT and context.reply != self.found.last[0]:
            self.found.last = (context.reply, [])
        if context.role == RESULT and not context.copy and (answered := first(node, IDS[:-1])):
            self.found.answers[str(answered)] += 1
            context = replace(context, answered=str(answered))
        return context

    def call(self, name: str, raw: JSON, call_id: JSON, path: Place, context: _Context) -> None:
        if name == "execute_bash" and context.said.startswith(_RUNNING):
            raw = {
                "command": context.said.removeprefix(_RUNNING)
            }  # Harbor may give it another call's arguments
        key = (name, arguments_of(raw))
        if NOT_MADE in dict(key[1]) or (call_id is not None and (str(call_id), key) in self.found.seen):
            return
        self.found.seen.add((str(call_id), key))
        self.found.by_id[str(call_id)] = key
        self.add(self.found.calls, key, path, context, call_id=None if call_id is None else str(call_id))

    def add(self, to: list[SourceCall], key: Key, path: Place, context: _Context, **more: JSON) -> None:
        if to is self.found.calls:
            self.found.last[1].append(("", key))
        to.append(SourceCall(key=key, where=self.at(path), reply=context.reply, owner=context.owner, **more))

    def text(self, text: str, path: Place, context: _Context) -> None:
        role = context.role or OTHER
        if context.copy and role != REASONING:
            return
        if role == AGENT:
            thinking, _, text = text.rpartition("</think>")
            self.keep(REASONING, thinking.replace("<think>", ""), path)
            reply = terminus_reply(text)
            calls = [*text_calls(text), *tagged_calls(text), *terminus_calls(reply), *terminus_xml(text)]
            calls = [] if context.native else calls
            said = (f"{name.capitalize()}: {reply[name]}" for name in ("analysis", "plan") if reply.get(name))
            text = "\n".join((*said, text))
            self.found.unread += calls.count(None)
            for key in filter(None, calls):
                self.add(self.found.calls, key, path, context, sound=None not in calls)
        elif AGENT not in self.found.texts:
            self.found.mini = self.found.mini or bool(MINI.search(text))
        elif role == USER and not self.found.seen:
            role = RESULT  # where calls are text, their results are the user's messages
        if role == RESULT and text.strip():
            known = self.found.by_id.get(context.answered)
            answered = (("", known),) if known else tuple(self.found.last[1])
            self.found.pairs.append((answered, text, self.at(path)))
        self.keep(role, text, path)

    def keep(self, role: str, text: str, path: Place) -> None:
        if text.strip():
            self.found.texts.setdefault(role, []).append((text, self.at(path)))

    def fenced(self, node: JSONObject, path: Place, context: _Context) -> None:
        """Keep the shell line of a reply without calls, by the rule of each scaffold that has such lines."""
        text = str(node.get("content") or node.get("text"))
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
            self.found.last[1].append((scaffold, key))

    def at(self, path: Place) -> str:
        return f"{self.position} $" + "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in path
        )
