"""OpenAI's Responses API: items of a request's ``input`` and a response's ``output``, together or bare."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.chat import openai_reply, text_of
from trajectories.readers.events import Event, Reply, Result, Said, admit, fold, issue_text
from trajectories.sources.documents import Document
from trajectories.types import JSON, Trajectory

SOURCE = "responses"
Item = Mapping[str, Any]

_BOOKKEEPING = {"type", "id", "call_id", "status", "output", "outputs", "results", "agent", "created_by"}


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """A request, a response, both (``{request, response}``), or the bare list of items.

    NeMo Gym's rollouts have the request under ``responses_create_params``.
    """
    row = document.value if isinstance(document.value, Mapping) else {"input": document.value}
    request = row.get("request") or row.get("responses_create_params") or row
    response = row.get("response") or row
    items = [*input_items(request.get("input")), *(response.get("output") or [])]
    yield from read_items(items, row, document, ledger, source=SOURCE, model=_model(request, response))


def read_items(
    items: Sequence[Item],
    row: Mapping[str, Any],
    document: Document,
    ledger: FileLedger,
    *,
    source: str,
    model: str | None,
) -> Iterator[Trajectory]:
    """The trajectory that these items are; ``row`` is what may name it."""
    if strange := sum(not _is_known(item) for item in items):
        ledger.note("item_not_understood", document.position, strange)
    folded = fold(events(items))
    task = issue_text(folded.prompt)
    resolved = row.get("resolved")
    instance_id = _name(row) or document.name
    metadata: dict[str, JSON] = {} if task == folded.prompt.strip() else {"prompt": folded.prompt}
    yield from admit(
        Trajectory(
            trajectory_id=row.get("trajectory_id") or instance_id,
            instance_id=instance_id,
            task=task,
            steps=folded.steps,
            source=source,
            model=model,
            resolved=resolved if isinstance(resolved, bool) else None,
            metadata=metadata,
        ),
        folded,
        ledger,
        document.position,
    )


def _name(row: Mapping[str, Any]) -> str | None:
    named = row.get("instance_id")
    return named if isinstance(named, str) and named else None


def _model(*holders: Mapping[str, Any]) -> str | None:
    names = (holder.get("model") for holder in holders)
    return next((name for name in names if isinstance(name, str)), None)


def input_items(value: JSON) -> list[Item]:
    """``input`` is a text or a list of items."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"input is of type {type(value).__name__}")
    return value


def events(items: Iterable[Item]) -> Iterator[Event]:
    """What the model made up to the next result or message is one turn; a whole response is one turn too."""
    made: list[Item] = []
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


def _kind(item: Item) -> str:
    return str(item.get("type") or "message")


def _is_call(item: Item) -> bool:
    return _kind(item).endswith("_call")


def _is_made(item: Item) -> bool:
    return (
        _is_call(item)
        or _kind(item) in ("reasoning", "compaction")
        or (_kind(item) == "message" and item.get("role") == "assistant")
    )


def _is_known(item: Item) -> bool:
    return (
        item.get("object") == "response"
        or _is_made(item)
        or _kind(item) == "message"
        or _kind(item).endswith("_output")
    )


def _answer(item: Item) -> Iterator[Event]:
    """Words of the user, or the result of a call. System and developer messages are not kept."""
    if _kind(item).endswith("_output"):
        call_id = item.get("call_id")
        yield Result(text=_output(item.get("output")), call_ids=(call_id,) if call_id else ())
    elif _kind(item) == "message" and item.get("role") == "user":
        yield Said(text=text_of(item.get("content")))


def _output(output: JSON) -> str:
    """A text, blocks, or what a shell gave back (``stdout`` and ``stderr`` of each command)."""
    if isinstance(output, Mapping):
        output = [output]
    if isinstance(output, list) and any(isinstance(block, Mapping) and "stdout" in block for block in output):
        texts = (block.get(key) for block in output for key in ("stdout", "stderr"))
        return "\n".join(str(text) for text in texts if text)
    return text_of(output)


def _turn(made: Sequence[Item]) -> Iterator[Event]:
    """The reply and the results that hosted tools put into their own calls."""
    if not any(_is_call(item) or _kind(item) == "message" for item in made):
        return  # thinking alone is no turn
    yield response_reply(made)
    for item in made:
        if _is_call(item) and (item.get("output") or item.get("outputs")):
            text = _output(item.get("output") or item.get("outputs"))
            yield Result(text=text, call_ids=(str(item.get("call_id") or item.get("id")),))


def response_reply(output: Iterable[Item]) -> Reply:
    """The turn that the ``output`` of a response is: messages before the first call, then the calls."""
    prose: list[str] = []
    calls: list[Mapping[str, Any]] = []
    for item in output:
        if _is_call(item):
            calls.append(_call(item))
        elif _kind(item) == "message" and not calls:
            prose.append(text_of(item.get("content")))
    return openai_reply("\n".join(text for text in prose if text), calls)


def _call(item: Item) -> Mapping[str, Any]:
    """Calls of functions, of custom tools (``input`` is a text) and of hosted ones (named by their type)."""
    call_id = item.get("call_id") or item.get("id")
    if _kind(item) in ("function_call", "mcp_call"):
        return {"name": item.get("name"), "arguments": item.get("arguments"), "id": call_id}
    if _kind(item) == "custom_tool_call":
        return {"name": item.get("name"), "arguments": {"input": item.get("input")}, "id": call_id}
    action = item.get("action")
    arguments = (
        action if isinstance(action, Mapping) else {k: v for k, v in item.items() if k not in _BOOKKEEPING}
    )
    return {"name": _kind(item).removesuffix("_call"), "arguments": arguments, "id": call_id}
