"""Vercel AI SDK: ModelMessages (versions 5 and 6, CoreMessages of 4), and the UIMessages that chats store."""

import json
from collections.abc import Iterable, Iterator

from trajectories.conversation.events import Event, Result, UserMessage, fold, record
from trajectories.conversation.fields import row_facts
from trajectories.conversation.reasoning import ENCRYPTED, is_sealed, thinking_in
from trajectories.conversation.turns import Note, notes_of, whole_turns
from trajectories.ledger import FileLedger
from trajectories.readers.chat.exchange import exchange_of
from trajectories.readers.chat.messages import as_id, make_reply, text_of
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_APPROVALS = ("tool-approval-request", "tool-approval-response")  # the result tells what came of it


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a row, a log with ``response.messages``, or a bare list of messages."""
    note = notes_of(document, ledger)
    exchange = exchange_of(document.value, note)
    response = exchange.row.get("response")
    more = response.get("messages") if isinstance(response, dict) else None
    messages = exchange.messages + (more if isinstance(more, list) else [])
    facts = row_facts(exchange.row)
    yield from record(
        fold(whole_turns(ai_sdk_events(messages, note), note)),
        document,
        ledger,
        source="ai-sdk",
        instance_id=facts.instance_id,
        trajectory_id=facts.trajectory_id,
        model=facts.model or exchange.model,
        resolved=facts.resolved,
        patch=facts.patch,
        metadata=facts.metadata,
    )


def ai_sdk_events(messages: Iterable[JSON], note: Note) -> Iterator[Event]:
    """Read messages; each step of a UIMessage is a turn."""
    for message in messages:
        if not isinstance(message, dict):
            note("message_not_understood")
        elif isinstance(message.get("parts"), list):
            for part in _model_messages(message):
                yield from _message_events(part, note)
        else:
            yield from _message_events(message, note)


def _message_events(message: JSONObject, note: Note) -> Iterator[Event]:
    role, content = message.get("role"), message.get("content")
    parts = content if isinstance(content, list) else [content]
    if role == "assistant":
        prose: list[JSON] = []
        calls: list[tuple[JSON, JSON, JSON]] = []
        for part in parts:
            block = part if isinstance(part, dict) else {}
            kind = block.get("type")
            if kind == "tool-call":
                arguments = block["input"] if "input" in block else block.get("args")
                calls.append((block.get("toolName"), arguments, block.get("toolCallId")))
            elif kind in _APPROVALS or kind == "tool-result":
                continue
            elif not calls:
                prose.append(part)
            elif text_of([part]).strip():
                note("text_after_calls")
        if is_sealed(message):
            note(ENCRYPTED)
        yield make_reply(text_of(prose), calls, thinking_in(content))
        yield from _results(parts)  # of tools that the provider runs
    elif role == "tool":
        yield from _results(parts)
    elif role == "user":
        yield UserMessage(text=text_of(content))
    elif role != "system":
        note("message_of_unknown_role")


def _results(parts: Iterable[JSON]) -> Iterator[Result]:
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "tool-result":
            call_id = as_id(part.get("toolCallId"))
            output = part["output"] if "output" in part else part.get("result")
            yield Result(text=output_text(output), call_ids=(call_id,) if call_id else ())


def output_text(output: JSON) -> str:
    """Return the text of a tool's output, which is ``{type, value}``, or any value in version 4.

    >>> output_text({"type": "text", "value": "a.py"}), output_text({"exitCode": 0})
    ('a.py', '{"exitCode": 0}')
    """
    if not isinstance(output, dict) or not isinstance(output.get("type"), str):
        return _as_text(output)
    if output["type"] == "execution-denied":
        return text_of(output.get("reason")) or "[execution-denied]"
    if "value" not in output:
        return _as_text(output)
    return text_of(output["value"]) if output["type"] == "content" else _as_text(output["value"])


def _as_text(value: JSON) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _model_messages(message: JSONObject) -> Iterator[JSONObject]:
    """Yield a UIMessage as the messages that it stands for: a reply, and the results of its calls, for each step."""
    steps: list[list[JSON]] = [[]]
    for part in message["parts"]:
        if isinstance(part, dict) and part.get("type") == "step-start":
            steps.append([])
        else:
            steps[-1].append(part)
    for parts in steps:
        if not parts:
            continue
        content: list[JSON] = []
        results: list[JSON] = []
        for part in parts:
            call = _ui_call(part)
            content.append(call or part)
            if call and (result := _ui_result(call)):
                results.append(result)
        yield {"role": message.get("role"), "content": content}
        if results:
            yield {"role": "tool", "content": results}


def _ui_call(part: JSON) -> dict[str, JSON] | None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return None
    kind: str = part["type"]
    if kind == "tool-invocation" and isinstance(part.get("toolInvocation"), dict):  # version 4
        part = part["toolInvocation"]
        name = part.get("toolName")
    elif kind == "dynamic-tool":
        name = part.get("toolName")
    elif (
        kind.startswith("tool-")
        and "toolCallId" in part
        and kind not in ("tool-call", "tool-result", *_APPROVALS)
    ):
        name = kind.removeprefix("tool-")
    else:
        return None
    return {**part, "type": "tool-call", "toolName": name}


def _ui_result(call: JSONObject) -> JSONObject | None:
    """Return the result that a part of a UIMessage holds beside its call, None before it came."""
    output = next((call[key] for key in ("output", "result", "errorText") if call.get(key) is not None), None)
    if output is None and call.get("state") not in ("output-available", "output-error", "result"):
        return None
    return {"type": "tool-result", "toolCallId": call.get("toolCallId"), "result": output}
