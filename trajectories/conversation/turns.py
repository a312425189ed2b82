"""Turns of a chat as the model took them: split replies joined, calls and results that a log repeats taken once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from trajectories.conversation.events import Call, Event, Reply, Result
from trajectories.conversation.reasoning import join_reasoning
from trajectories.ledger import FileLedger
from trajectories.sources.documents import Document

Note = Callable[[str], None]


def notes_of(document: Document, ledger: FileLedger) -> Note:
    """Return a function that counts an oddity of this document."""
    return lambda what: ledger.note(what, document.position)


def whole_turns(events: Iterable[Event], note: Note) -> Iterator[Event]:
    """Join the parts of replies, and pass each call and result once."""
    yield from once(joined(events), note)


def joined(events: Iterable[Event]) -> Iterator[Event]:
    """Join replies that a program wrote as several messages: thinking, then text, then a call without text.

    >>> from trajectories.types import Action
    >>> ls = Call(action=Action(name="bash", arguments={"command": "ls"}))
    >>> [event.thought for event in joined([Reply(thought="Look."), Reply(thought="", calls=(ls,))])]
    ['Look.']
    """
    held: Reply | None = None  # without a call so far
    for event in events:
        if not isinstance(event, Reply):
            if held is not None:
                yield held
            held = None
            yield event
            continue
        if held is not None:
            if event.thought.strip() and held.thought.strip():
                yield held
            else:
                event = _join(held, event)
        held = None
        if event.calls or event.problem:
            yield event
        else:
            held = event
    if held is not None:
        yield held


def _join(first: Reply, second: Reply) -> Reply:
    thought = second.thought if second.thought.strip() else first.thought
    return replace(second, thought=thought, reasoning=join_reasoning(first.reasoning, second.reasoning))


def once(events: Iterable[Event], note: Note) -> Iterator[Event]:
    """Pass each call and result once: a log may hold a reply again, or again with one more call.

    It is the same call under the same id, with the same arguments, and no result or message between the two; programs
    that count their ids anew use one id for several calls.
    """
    last: Reply | None = None
    calls: dict[str, Call] = {}  # since the last result or message
    results: set[Result] = set()  # since the last reply
    for event in events:
        if isinstance(event, Reply):
            fresh = _fresh(event, last, calls)
            if fresh is not event:
                note("call_recorded_twice" if event.calls else "reply_recorded_twice")
            if fresh is None:
                continue
            event = last = fresh
            calls |= {call.call_id: call for call in fresh.calls if call.call_id}
            results = set()
        elif isinstance(event, Result) and event.call_ids and event in results:
            note("result_recorded_twice")
            continue
        else:
            last, calls = None, {}
            if isinstance(event, Result):
                results.add(event)
        yield event


def _fresh(reply: Reply, last: Reply | None, calls: dict[str, Call]) -> Reply | None:
    """Return the reply without the calls that were made already, None if nothing is left of it."""
    if last is None:
        return reply
    if reply == last and not any(call.call_id is None for call in reply.calls):
        return None
    left = tuple(call for call in reply.calls if call.call_id is None or calls.get(call.call_id) != call)
    if len(left) == len(reply.calls):
        return reply
    return replace(reply, calls=left) if left else None
