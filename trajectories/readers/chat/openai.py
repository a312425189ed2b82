"""OpenAI chat messages with ``tool_calls``, or with calls in the text; ShareGPT conversations; logs of requests."""

from collections.abc import Iterable, Iterator

from trajectories.conversation.events import Event, Folded, Reply, Result, UserMessage, fold, record
from trajectories.conversation.fields import row_facts, task_number, text_at
from trajectories.conversation.reasoning import ENCRYPTED, is_sealed, reasoning_of, split_thinking
from trajectories.conversation.turns import Note, notes_of, whole_turns
from trajectories.ledger import FileLedger
from trajectories.readers.chat.exchange import exchange_of, loaded
from trajectories.readers.chat.messages import make_reply, openai_reply, result_ids, text_of, without_label
from trajectories.readers.chat.sharegpt import CALL_ROLES, as_chats
from trajectories.readers.chat.terminus import without_calls
from trajectories.readers.chat.text_calls import (
    function_call_reply,
    text_after_calls,
    text_reply,
    without_answer_tags,
)
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_SILENT_ROLES = ("system", "developer")
_FENCED = "only_fenced_blocks"  # no call at all, but text that a scaffold of shell blocks would run
_HINT = "replies hold fenced blocks only; --format mini-swe-agent or --format swe-smith may be meant"


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a row, a request with its response, or a bare list of messages."""
    note = notes_of(document, ledger)
    exchange = exchange_of(document.value, note)
    folded = fold(whole_turns(openai_events(exchange.messages, note), note))
    facts = row_facts(exchange.row)
    position = document.position
    if _is_fenced(folded):
        note(_FENCED)
        position = f"{position}: {_HINT}"
    trial = text_at(exchange.row, "trial_name")  # OT-Agent: the run of a task under a name of its own
    yield from record(
        folded,
        document,
        ledger,
        source="openai",
        instance_id=facts.instance_id
        or (text_at(exchange.row, "task") if trial else None)
        or document.task_name(task_number(exchange.row)),
        trajectory_id=trial or facts.trajectory_id,
        position=position,
        task=task_of(folded, facts.task),
        model=facts.model or exchange.model,
        resolved=facts.resolved,
        patch=facts.patch,
        metadata=facts.metadata,
    )


def task_of(folded: Folded, column: str | None) -> str | None:
    """Return the task's own column if the prompt holds it or is empty, None for the task in the prompt."""
    task = (column or "").strip()
    return task if task and (not folded.prompt or task in folded.prompt) else None


def _is_fenced(folded: Folded) -> bool:
    return not any(step.actions for step in folded.steps) and any(
        "```" in step.thought for step in folded.steps
    )


def openai_events(messages: Iterable[JSON], note: Note) -> Iterator[Event]:
    """Read messages with ``tool_calls`` or calls in the text, and their results."""
    after_text_call = False
    chats = list(as_chats(messages, note))
    # Who takes native calls takes none from a text, which may be about such calls.
    native = any(message.get("role") == "assistant" and message.get("tool_calls") for message in chats)
    for message in chats:
        role = message.get("role")
        if role == "assistant":
            reply, in_text = assistant_reply(message, note, native=native)
            after_text_call = in_text and bool(reply.calls or reply.problem)
            yield reply
            continue
        if role in _SILENT_ROLES:
            continue
        text = without_answer_tags(without_label(text_of(message.get("content"))))
        if role == "tool":
            yield Result(text=text, call_ids=result_ids(message))
        elif role == "user":
            yield Result(text=text) if after_text_call else UserMessage(text=text)
            after_text_call = False
        else:
            note("message_of_unknown_role")


def assistant_reply(message: JSONObject, note: Note, *, native: bool = False) -> tuple[Reply, bool]:
    """Return the turn of an assistant message, and whether its calls are in the text. ``native``: none is there."""
    text, reasoning = text_of(message.get("content")), reasoning_of(message)
    if is_sealed(message):
        note(ENCRYPTED)
    refusal = message.get("refusal")
    if not text and isinstance(refusal, str):
        text = refusal
    calls = loaded(message.get("tool_calls"))
    if calls and isinstance(calls, list):
        return without_calls(openai_reply(text, calls, reasoning)), False
    if message.get("from") in CALL_ROLES:
        return function_call_reply(text, reasoning), True
    if native:
        return make_reply(text, (), reasoning), False
    reply = text_reply(text, reasoning)
    if reply.calls and text_after_calls(split_thinking(text)[1]):
        note("text_after_calls")
    return reply, True
