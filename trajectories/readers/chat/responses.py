"""OpenAI's Responses API: items of a request's ``input`` and a response's ``output``, together or bare."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.events import Event, Reply, Result, UserMessage, fold, record
from trajectories.conversation.fields import RowFacts, as_object, row_facts, task_number, text_at
from trajectories.conversation.reasoning import ENCRYPTED, join_reasoning, reasoning_of
from trajectories.conversation.turns import once
from trajectories.ledger import FileLedger
from trajectories.readers.chat.message_fields import task_of
from trajectories.readers.chat.messages import make_reply, text_of
from trajectories.readers.chat.terminus import without_calls
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

ONLY_REASONING = "reasoning_without_reply"  # the model was cut off while it thought

OTHER_TRANSITION = (
    "other_transition"  # the conversation after a step, of which the last one is no continuation
)

_RESULTS = ("output", "outputs", "results", "result", "error")  # of a hosted tool, in its own call
_BOOKKEEPING = {"type", "id", "call_id", "status", "agent", "created_by", *_RESULTS}
_NOT_KEPT = frozenset({"system", "developer"})

Listed = tuple[JSON, JSON, JSON]  # name, arguments and id of a call


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a request (NeMo Gym's: ``responses_create_params``), a response, both, or the bare list of items."""
    row = as_object(document.value, "input")
    request = _object(row.get("request")) or _object(row.get("responses_create_params")) or row
    response = _object(row.get("response")) or row
    items = [*input_items(request.get("input")), *_output_items(response.get("output"), document, ledger)]
    facts = facts_of(row, request)
    model = text_at(request, "model") or text_at(response, "model") or facts.model
    instance_id = facts.instance_id or document.task_name(task_number(row))
    facts = replace(facts, model=model, instance_id=instance_id)
    yield from read_items(items, facts, document, ledger, source="responses")


def _output_items(output: JSON, document: Document, ledger: FileLedger) -> list[JSON]:
    """Return the items of ``output``. Aviary's agent keeps the whole conversation after each step: the last has all."""
    if not isinstance(output, list):
        return []
    if not output or not all(isinstance(inner, list) for inner in output):
        return output
    last: list[JSON] = output[-1]
    if others := sum(inner != last[: len(inner)] for inner in output):
        ledger.note(OTHER_TRANSITION, document.position, others)
    return last


def facts_of(row: JSONObject, request: JSONObject) -> RowFacts:
    """Return the facts of a row; what it lacks may stand in the request's ``metadata``, as in NeMo Gym's."""
    own, asked = row_facts(row), row_facts(request)
    task = row_facts(_loaded(_object(request.get("metadata")).get("instance_dict")))
    metadata = {key: value for key, value in task.metadata.items() if key in ("repo", "base_commit")}
    return RowFacts(
        instance_id=own.instance_id or asked.instance_id or task.instance_id,
        trajectory_id=own.trajectory_id,
        model=own.model or asked.model,
        resolved=own.resolved if own.resolved is not None else asked.resolved,
        patch=own.patch,
        task=own.task or asked.task or task.task,
        metadata={**metadata, **asked.metadata, **own.metadata},
    )


def read_items(
    items: Sequence[JSON], facts: RowFacts, document: Document, ledger: FileLedger, *, source: str
) -> Iterator[Trajectory]:
    """Read the trajectory of these items, of which a row says ``facts``."""
    notes: Counter[str] = Counter()
    folded = fold(once(events(items, notes), lambda what: notes.update([what])))
    for what, times in (+notes).items():
        ledger.note(what, document.position, times)
    task = task_of(folded, facts.task)
    yield from record(
        folded,
        document,
        ledger,
        source=source,
        instance_id=facts.instance_id,
        trajectory_id=facts.trajectory_id,
        prompt=folded.prompt or task,
        task=task,
        model=facts.model,
        resolved=facts.resolved,
        patch=facts.patch,
        metadata=facts.metadata,
    )


def input_items(value: JSON) -> list[JSON]:
    """Return the items of ``input``, which is a text, a list of items or null; any other value is an odd item."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def events(items: Iterable[JSON], notes: Counter[str] | None = None) -> Iterator[Event]:
    """Yield events. The model's items up to the next result or message are one turn, as is a whole response.

    ``notes`` counts what is odd, or cannot be kept.
    """
    notes = Counter() if notes is None else notes
    made: list[JSONObject] = []
    for item in items:
        if not isinstance(item, dict):
            notes["item_not_understood"] += 1
        elif item.get("object") == "response":
            yield from _turn(made, notes)
            made = []
            yield from _turn([part for part in item.get("output") or [] if isinstance(part, dict)], notes)
        elif _is_made(item):
            made.append(item)
        else:
            yield from _turn(made, notes)
            made = []
            notes["item_not_understood"] += not is_known(item)
            yield from _answer(item)
    yield from _turn(made, notes)


def is_known(item: JSONObject) -> bool:
    """Return whether an item is of a kind that is read, or known to hold nothing to keep."""
    kind = _kind(item)
    if kind == "message":
        return item.get("role") in ("assistant", "user", "tool", "function", *_NOT_KEPT)
    return item.get("object") == "response" or _is_made(item) or kind.endswith("_output")


def _kind(item: JSONObject) -> str:
    return str(item.get("type") or "message")


def _is_call(item: JSONObject) -> bool:
    return _kind(item).endswith("_call")


def _is_made(item: JSONObject) -> bool:
    if _kind(item) == "message":
        return bool(item.get("role") == "assistant")
    return _is_call(item) or _kind(item) in ("reasoning", "compaction")


def _answer(item: JSONObject) -> Iterator[Event]:
    """Yield a user message, or the result of a call. System and developer messages are not kept."""
    kind, role = _kind(item), item.get("role")
    if kind.endswith("_output"):
        yield Result(text=_output(item.get("output")), call_ids=_ids(item.get("call_id")))
    elif kind == "message" and role in ("tool", "function"):
        yield Result(text=text_of(item.get("content")), call_ids=_ids(item.get("tool_call_id")))
    elif kind == "message" and role == "user":
        yield UserMessage(text=text_of(item.get("content")))


def _ids(call_id: JSON) -> tuple[str, ...]:
    return (call_id,) if isinstance(call_id, str) and call_id else ()


def _output(output: JSON) -> str:
    """Return the text of an output: a text, blocks, or ``stdout`` and ``stderr`` of each shell command."""
    blocks = output if isinstance(output, list) else [output]
    return "\n".join(text for block in blocks if (text := _block_text(block)))


def _block_text(block: JSON) -> str:
    if isinstance(block, dict):
        for keys in (("stdout", "stderr"), ("logs",), ("url",)):
            if any(key in block for key in keys) and "text" not in block:
                return "\n".join(str(block[key]) for key in keys if block.get(key))
    return text_of(block)


def _turn(made: Sequence[JSONObject], notes: Counter[str]) -> Iterator[Event]:
    """Yield the reply, and the results that hosted tools put into their own calls."""
    for item in made:
        notes[ENCRYPTED] += _kind(item) == "reasoning" and _is_sealed(item)
        notes["compaction"] += _kind(item) == "compaction"
    if not any(_is_call(item) or _kind(item) == "message" for item in made):
        notes[ONLY_REASONING] += any(_reasoning(item) for item in made)
        return
    yield response_reply(made)
    for item in made:
        if _is_call(item) and (text := _own_result(item)):
            yield Result(text=text, call_ids=_ids(item.get("call_id") or item.get("id")))


def _own_result(item: JSONObject) -> str:
    if _kind(item) == "image_generation_call":
        return "[image]" if item.get("result") else ""
    found = [item[key] for key in _RESULTS if item.get(key)]
    found.append(_object(item.get("action")).get("sources"))
    return "\n".join(text for value in found if value and (text := _output(value)))


def response_reply(output: Iterable[JSON]) -> Reply:
    """Make the turn of a response's ``output``: what it says, in order, and its calls."""
    prose: list[str] = []
    calls: list[Listed] = []
    reasoning: list[str] = []
    for item in output:
        if not isinstance(item, dict):
            continue
        reasoning.append(_reasoning(item))
        if _is_call(item):
            calls.append(_call(item))
        elif _kind(item) == "message":
            prose.append(text_of(item.get("content")))
            calls += _chat_calls(item.get("tool_calls"))
    made = make_reply("\n".join(text for text in prose if text), calls, join_reasoning(*reasoning))
    return without_calls(made)


def _reasoning(item: JSONObject) -> str:
    """Return the thinking of an item: summary and content of a reasoning item, or the fields of a message."""
    if _kind(item) == "reasoning":
        return join_reasoning(text_of(item.get("summary")), text_of(item.get("content")))
    return reasoning_of(item) if _kind(item) == "message" else ""


def _is_sealed(item: JSONObject) -> bool:
    return bool(item.get("encrypted_content")) and not _reasoning(item)


def _call(item: JSONObject) -> Listed:
    """Return a function's call, a custom tool's (``input`` is a text) or a hosted tool's."""
    call_id = item.get("call_id") or item.get("id")
    if _kind(item) in ("function_call", "mcp_call"):
        return item.get("name"), item.get("arguments"), call_id
    if _kind(item) == "custom_tool_call":
        return item.get("name"), {"input": item.get("input")}, call_id
    arguments = item.get("action")
    if not isinstance(arguments, dict):
        arguments = {key: value for key, value in item.items() if key not in _BOOKKEEPING}
    return _kind(item).removesuffix("_call"), _without_sources(arguments), call_id


def _without_sources(arguments: JSONObject) -> JSONObject:
    return {key: value for key, value in arguments.items() if key != "sources"}


def _chat_calls(tool_calls: JSON) -> Iterator[Listed]:
    """Yield the calls of a chat message among the items."""
    for call in tool_calls if isinstance(tool_calls, list) else []:
        function = _object(_object(call).get("function")) or _object(call)
        yield function.get("name"), function.get("arguments"), _object(call).get("id")


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _loaded(value: JSON) -> JSONObject:
    """Return an object that a field holds as it is, or as JSON; empty for any other value."""
    try:
        return _object(json.loads(value) if isinstance(value, str) else value)
    except ValueError:
        return {}
