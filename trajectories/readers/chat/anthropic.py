"""Anthropic Messages: a request body, one with its reply, or the bare list of messages."""

from collections.abc import Iterable, Iterator

from trajectories.conversation.events import Event, UserMessage, fold, record
from trajectories.conversation.fields import row_facts
from trajectories.conversation.reasoning import ENCRYPTED, is_sealed, reasoning_of
from trajectories.conversation.turns import Note, notes_of, whole_turns
from trajectories.ledger import FileLedger
from trajectories.readers.chat.exchange import exchange_of
from trajectories.readers.chat.messages import (
    CALL_BLOCKS,
    anthropic_reply,
    is_tool_result,
    results_in,
    text_of,
    xml_reply,
)
from trajectories.readers.chat.openai import task_of
from trajectories.sources.documents import Document
from trajectories.types import JSON, Trajectory

_SILENT_ROLES = ("system",)


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read also ``request``/``response`` pairs, and an ``instance_id`` that was added to the body."""
    note = notes_of(document, ledger)
    exchange = exchange_of(document.value, note)
    folded = fold(whole_turns(anthropic_events(exchange.messages, note), note))
    facts = row_facts(exchange.row)
    yield from record(
        folded,
        document,
        ledger,
        source="anthropic",
        instance_id=facts.instance_id,
        trajectory_id=facts.trajectory_id,
        task=task_of(folded, facts.task),
        model=facts.model or exchange.model,
        resolved=facts.resolved,
        patch=facts.patch,
        metadata=facts.metadata,
    )


def anthropic_events(messages: Iterable[JSON], note: Note) -> Iterator[Event]:
    """Read Anthropic Messages: ``tool_use`` blocks, their ``tool_result`` in the next user message."""
    messages = list(messages)
    native = any(map(_calls, messages))  # who takes such calls takes none from a text
    for message in messages:
        if not isinstance(message, dict):
            note("message_not_understood")
            continue
        role, content = message.get("role"), message.get("content")
        if role == "assistant":
            reply = anthropic_reply(content, reasoning_of(message))
            if not native and not reply.problem:
                reply = xml_reply(reply.thought, reply.reasoning)
            if is_sealed(message):
                note(ENCRYPTED)
            if _says_more(content):
                note("text_after_calls")
            yield reply
            yield from results_in(content)  # server tools answer inside the assistant message
        elif role == "user":
            yield from results_in(content)
            if isinstance(content, list):
                content = [block for block in content if not is_tool_result(block)]
            if text := text_of(content):
                yield UserMessage(text=text)
        elif role not in _SILENT_ROLES:
            note("message_of_unknown_role")


def _calls(message: JSON) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    return any(isinstance(block, dict) and block.get("type") in CALL_BLOCKS for block in blocks)


def _says_more(content: JSON) -> bool:
    """Return whether a reply has text after its first call: that of a server tool may be followed by the answer."""
    called = False
    for block in content if isinstance(content, list) else []:
        kind = block.get("type") if isinstance(block, dict) else "text"
        if str(kind).endswith("tool_use"):
            called = True
        elif called and kind == "text" and text_of([block]).strip():
            return True
    return False
