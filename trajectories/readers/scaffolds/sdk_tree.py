"""The tree of an OpenHands SDK log: which events are one conversation, and which of them one branch of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from trajectories.types import JSON, JSONObject

ROOT = "__root__"  # a ``parent_id`` of the SDK: the event begins a tree of its own
_SYSTEM = "SystemPromptEvent"
_MESSAGE = "MessageEvent"
_ACTION = "ActionEvent"
_BEGUN = (_SYSTEM, _MESSAGE, _ACTION)


@dataclass(kw_only=True)
class Conversation:
    """The events of one conversation, and its branches from the root to the last turn."""

    events: list[JSONObject] = field(default_factory=list)
    branches: list[list[JSONObject]] = field(default_factory=list)


class NotToldApart(ValueError):
    """The log mixes conversations, and nothing in it says which event belongs to which."""


def conversations(events: Sequence[JSONObject]) -> tuple[list[Conversation], int]:
    """Return the conversations of a log and the number of events whose parent is missing. Raises NotToldApart.

    Old logs have no ``parent_id``: there each system prompt begins a conversation. In logs with it an event without
    one is a root, unless it belongs to the old part before the tree.
    """
    parents, missing = _parents(events)
    roots: dict[int, Conversation] = {}
    root_of: list[int] = []
    for index, parent in enumerate(parents):
        root_of.append(index if parent is None else root_of[parent])
        roots.setdefault(root_of[index], Conversation()).events.append(events[index])
    for end in _ends(events, parents):
        roots[root_of[end]].branches.append([events[index] for index in _path(end, parents)])
    found = list(roots.values())
    if not any(_text_id(event.get("parent_id")) for event in events):
        for one in found[:-1]:
            if not any(event.get("kind") in (_MESSAGE, _ACTION) for event in one.events):
                raise NotToldApart("conversations without a parent_id are mixed")
    return found, missing


def is_turn(event: JSONObject) -> bool:
    """Return whether the model wrote this event."""
    kind = event.get("kind")
    return kind == _ACTION or (kind == _MESSAGE and event.get("source") == "agent")


def _parents(events: Sequence[JSONObject]) -> tuple[list[int | None], int]:
    """Return the index of each event's parent, None for a root, and how many explicit parents are missing."""
    at = {key: index for index, event in enumerate(events) if (key := _text_id(event.get("id")))}
    named = {_text_id(event.get("parent_id")) for event in events} - {None}
    begun = (index for index, event in enumerate(events) if event.get("kind") in _BEGUN)
    first = next(begun, len(events))
    parents: list[int | None] = []
    missing = 0
    in_tree = False  # whether the event before says itself where it belongs
    for index, event in enumerate(events):
        parent = _text_id(event.get("parent_id"))
        before = index - 1 if index else None
        if parent == ROOT:
            parents.append(None)
        elif parent and at.get(parent, index) < index:
            parents.append(at[parent])
        elif parent is not None:
            missing += 1
            parents.append(before)
        else:
            prompt = event.get("kind") == _SYSTEM and index > first
            root = prompt or in_tree or (index > 0 and _text_id(events[index - 1].get("id")) in named)
            parents.append(None if root else before)
        in_tree = parent is not None and (parent == ROOT or at.get(parent, index) < index)
    return parents, missing


def _ends(events: Sequence[JSONObject], parents: Sequence[int | None]) -> Iterator[int]:
    """Yield the last event of each branch. A branch ends with a turn that no other turn follows."""
    last_turn: list[int | None] = []
    continued: set[int | None] = set()
    for index, parent in enumerate(parents):
        before = None if parent is None else last_turn[parent]
        if is_turn(events[index]):
            continued.add(before)
            before = index
        last_turn.append(before)
    furthest = {turn: index for index, turn in enumerate(last_turn) if turn is not None}
    yield from (index for turn, index in furthest.items() if turn not in continued)


def _path(end: int, parents: Sequence[int | None]) -> list[int]:
    path = [end]
    while (parent := parents[path[-1]]) is not None:
        path.append(parent)
    return path[::-1]


def _text_id(value: JSON) -> str | None:
    return value if isinstance(value, str) and value else None


def unique(events: Sequence[JSON]) -> tuple[list[JSONObject], int, int]:
    """Return the events, each once, how many stood there twice, and how many values are no events."""
    seen: set[str] = set()
    found: list[JSONObject] = []
    twice = odd = 0
    for event in events:
        if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
            odd += 1
        elif (key := _text_id(event.get("id"))) is not None and key in seen:
            twice += 1
        else:
            found.append(event)
            seen.update([key] if key else [])
    return found, twice, odd
