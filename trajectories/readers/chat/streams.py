"""A streamed reply put together: chunks of chat completions, or events of the Messages API, parsed or as text."""

import json
from collections.abc import Iterable

from trajectories.types import JSON, JSONObject

_JOINED = ("content", "reasoning_content", "reasoning", "refusal")  # parts of a text in OpenAI's deltas
# Where a delta of Anthropic's adds to: its type -> (field of the delta, field of the block).
_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("partial_json", "input"),
}


def message_of_stream(stream: str | list[JSON]) -> JSONObject | None:
    """Return the assistant's message of a stream's chunks, None for anything else.

    >>> message_of_stream('data: {"choices": [{"delta": {"content": "Look."}}]}\\n\\ndata: [DONE]\\n')["content"]
    'Look.'
    """
    listed = _parsed(stream) if isinstance(stream, str) else stream
    chunks = [chunk for chunk in listed if isinstance(chunk, dict)]
    if any(isinstance(chunk.get("choices"), list) for chunk in chunks):
        return _openai_message(chunks)
    if any(chunk.get("type") == "content_block_start" for chunk in chunks):
        return _anthropic_message(chunks)
    return None


def _parsed(stream: str) -> list[JSON]:
    """Return the data of server-sent events."""
    found = []
    for line in stream.splitlines():
        if line.startswith("data:"):
            try:
                found.append(json.loads(line[len("data:") :]))
            except (ValueError, RecursionError):
                continue  # [DONE], or a line that was cut
    return found


def _openai_message(chunks: Iterable[JSONObject]) -> JSONObject | None:
    texts: dict[str, list[str]] = {}
    calls: dict[JSON, dict[str, JSON]] = {}
    for chunk in chunks:
        choices = chunk.get("choices")
        for choice in choices[:1] if isinstance(choices, list) else []:
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if not isinstance(delta, dict):
                continue
            for key in _JOINED:
                if isinstance(delta.get(key), str):
                    texts.setdefault(key, []).append(delta[key])
            parts = delta.get("tool_calls")
            for part in parts if isinstance(parts, list) else []:
                _add_call(calls, part)
    if not texts and not calls:
        return None
    message: dict[str, JSON] = {"role": "assistant", "content": None}
    message |= {key: "".join(parts) for key, parts in texts.items()}
    if calls:
        listed = [call | {"arguments": "".join(call["arguments"])} for call in calls.values()]
        message["tool_calls"] = listed
    return message


def _add_call(calls: dict[JSON, dict[str, JSON]], part: JSON) -> None:
    if not isinstance(part, dict):
        return
    function = part.get("function")
    function = function if isinstance(function, dict) else {}
    call = calls.setdefault(str(part.get("index", 0)), {"id": None, "name": None, "arguments": []})
    call["id"] = call["id"] or part.get("id")
    call["name"] = call["name"] or function.get("name")
    if isinstance(function.get("arguments"), str):
        call["arguments"].append(function["arguments"])


def _anthropic_message(events: Iterable[JSONObject]) -> JSONObject:
    blocks: dict[str, dict[str, JSON]] = {}
    parts: dict[str, dict[str, list[str]]] = {}
    for event in events:
        index = str(event.get("index"))
        block, delta = event.get("content_block"), event.get("delta")
        if event.get("type") == "content_block_start" and isinstance(block, dict):
            blocks[index] = dict(block)
        elif index in blocks and isinstance(delta, dict) and delta.get("type") in _DELTAS:
            source, target = _DELTAS[delta["type"]]
            if isinstance(delta.get(source), str):
                parts.setdefault(index, {}).setdefault(target, []).append(delta[source])
    for index, fields in parts.items():
        blocks[index] |= {key: "".join(texts) for key, texts in fields.items()}
    return {"role": "assistant", "content": list(blocks.values())}
