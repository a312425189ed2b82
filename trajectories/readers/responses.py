"""OpenAI's Responses API: items of a request's ``input`` and a response's ``output``, together or bare."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from trajectories.ledger import FileLedger
from trajectories.readers.chat import make_reply, text_of
from trajectories.readers.events import Event, Reply, Result, UserMessage, record
from trajectories.readers.fields import as_object, text_at
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_BOOKKEEPING = {"type", "id", "call_id", "status", "output", "outputs", "results", "agent", "created_by"}


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a request (NeMo Gym's: ``responses_create_params``), a response, both, or the bare list of items."""
    row = as_object(document.value, "input")
    request = row.get("request") or row.get("responses_create_params") or row
    response = row.get("response") or row
    items = [*input_items(request.get("input")), *(response.get("output") or [])]
    model = text_at(request, "model")
    model = text_at(response, "model") if model is None else model
    yield from read_items(items, row, document, ledger, source="responses", model=model)


def read_items(
    items: Sequence[JSONObject],
    row: JSONObject,
    document: Document,
    ledger: FileLedger,
    *,
    source: str,
    model: str | None,
) -> Iterator[Trajectory]:
    """Read the trajectory of these items; ``row`` may name it."""
    if unknown := sum(not _is_known(item) for item in items):
        ledger.note("item_not_understood", document.position, unknown)
    yield from record(
        events(items),
        document,
        ledger,
        source=source,
        instance_id=text_at(row, "instance_id"),
        trajectory_id=row.get("trajectory_id"),
        model=model,
        resolved=row.get("resolved"),
    )


def input_items(value: JSON) -> list[JSONObject]:
    """Return the items of ``input``, which is a text, a list of items or null. Raises TypeError."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"input is of type {type(value).__name__}")
    return value


def events(items: Iterable[JSONObject]) -> Iterator[Event]:
    """Yield events. The model's items up to the next result or message are one turn, as is a whole response."""
    made: list[JSONObject] = []
    for item in items:
        if item.get("object") == "response":
            yield from _turn(made)
            made = []
            yield from _turn(item.get("output") or [])
        elif _is_made(item):
            made.append(item)
        else:
            yield from _turn(made)
            made = []
            yield from _answer(item)
    yield from _turn(made)


def _kind(item: JSONObject) -> str:
    return str(item.get("type") or "message")


def _is_call(item: JSONObject) -> bool:
    return _kind(item).endswith("_call")


def _is_made(item: JSONObject) -> bool:
    if _kind(item) == "message":
        return bool(item.get("role") == "assistant")
    return _is_call(item) or _kind(item) in ("reasoning", "compaction")


def _is_known(item: JSONObject) -> bool:
    kind = _kind(item)
    return item.get("object") == "response" or _is_made(item) or kind == "message" or kind.endswith("_output")


def _answer(item: JSONObject) -> Iterator[Event]:
    """Yield a user message, or the result of a call. System and developer messages are not kept."""
    if _kind(item).endswith("_output"):
        call_id = item.get("call_id")
        yield Result(text=_output(item.get("output")), call_ids=(call_id,) if call_id else ())
    elif _kind(item) == "message" and item.get("role") == "user":
        yield UserMessage(text=text_of(item.get("content")))


def _output(output: JSON) -> str:
    """Return the text of an output: a text, blocks, or ``stdout`` and ``stderr`` of each shell command."""
    if isinstance(output, Mapping):
        output = [output]
    if isinstance(output, list) and any(isinstance(block, Mapping) and "stdout" in block for block in output):
        texts = (block.get(key) for block in output for key in ("stdout", "stderr"))
        return "\n".join(str(text) for text in texts if text)
    return text_of(output)


def _turn(made: Sequence[JSONObject]) -> Iterator[Event]:
    """Yield the reply, and the results that hosted tools put into their own calls."""
    if not any(_is_call(item) or _kind(item) == "message" for item in made):
        return  # reasoning alone is no turn
    yield response_reply(made)
    for item in made:
        if _is_call(item) and (item.get("output") or item.get("outputs")):
            text = _output(item.get("output") or item.get("outputs"))
            yield Result(text=text, call_ids=(str(item.get("call_id") or item.get("id")),))


def response_reply(output: Iterable[JSONObject]) -> Reply:
    """Make the turn of a response's ``output``: messages before the first call, then the calls."""
    prose: list[str] = []
    calls: list[tuple[JSON, JSON, JSON]] = []
    for item in output:
        if _is_call(item):
            calls.append(_call(item))
        elif _kind(item) == "message" and not calls:
            prose.append(text_of(item.get("content")))
    return make_reply("\n".join(text for text in prose if text), calls)


def _call(item: JSONObject) -> tuple[JSON, JSON, JSON]:
    """Return name, arguments and id of a function's, a custom tool's (``input`` is a text) or a hosted tool's call."""
    call_id = item.get("call_id") or item.get("id")
    if _kind(item) in ("function_call", "mcp_call"):
        return item.get("name"), item.get("arguments"), call_id
    if _kind(item) == "custom_tool_call":
        return item.get("name"), {"input": item.get("input")}, call_id
    arguments = item.get("action")
    if not isinstance(arguments, Mapping):
        arguments = {key: value for key, value in item.items() if key not in _BOOKKEEPING}
    return _kind(item).removesuffix("_call"), arguments, call_id
