"""Messages of Bedrock's Converse API and of Gemini's API, as messages with Anthropic's blocks."""

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping

from trajectories.types import JSON, JSONObject

_OF_CONVERSE = ("toolUse", "toolResult", "reasoningContent")
_OUTPUTS = ("output", "result", "error", "content")  # of a tool of Gemini's


def as_blocks(messages: list[JSON]) -> list[JSON]:
    """Return messages of Bedrock or Gemini with Anthropic's blocks, any others as they are.

    >>> as_blocks([{"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "ls", "input": {}}}]}])
    [{'role': 'assistant', 'content': [{'type': 'tool_use', 'id': 'c1', 'name': 'ls', 'input': {}}]}]
    """
    if any(_is_of_gemini(message) for message in messages):
        return list(_of_gemini(messages))
    return [_of_converse(message) for message in messages]


def _of_converse(message: JSON) -> JSON:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not any(_holds(block, *_OF_CONVERSE) for block in content):
        return message
    return {**message, "content": [_block(block) for block in content]}


def _holds(block: JSON, *keys: str) -> bool:
    return isinstance(block, dict) and any(isinstance(block.get(key), dict) for key in keys)


def _block(block: JSON) -> JSON:
    if _holds(block, "toolUse"):
        call = block["toolUse"]
        named = {"name": call.get("name"), "input": call.get("input")}
        return {"type": "tool_use", "id": call.get("toolUseId"), **named}
    if _holds(block, "toolResult"):
        result = block["toolResult"]
        parts = result.get("content")
        parts = [_result_part(part) for part in parts] if isinstance(parts, list) else parts
        return {"type": "tool_result", "tool_use_id": result.get("toolUseId"), "content": parts}
    if _holds(block, "reasoningContent"):
        thinking = block["reasoningContent"].get("reasoningText")
        text = thinking.get("text") if isinstance(thinking, dict) else None
        return {"type": "thinking", "thinking": text} if text else {"type": "redacted_thinking"}
    return block


def _result_part(part: JSON) -> JSON:
    if isinstance(part, dict) and "json" in part and "text" not in part:
        return {"type": "text", "text": json.dumps(part["json"], ensure_ascii=False)}
    return part


def _is_of_gemini(message: JSON) -> bool:
    """Return whether a message holds parts as Gemini's API does; those of the AI SDK have a type."""
    parts = message.get("parts") if isinstance(message, dict) and "content" not in message else None
    return isinstance(parts, list) and all(isinstance(part, dict) and "type" not in part for part in parts)


def _of_gemini(messages: list[JSON]) -> Iterator[JSON]:
    """Yield messages; calls and results without ids are joined by the tool's name, in their order."""
    made = 0
    waiting: defaultdict[str, deque[str]] = defaultdict(deque)
    for message in messages:
        parts = message.get("parts") if isinstance(message, dict) else None
        if not isinstance(parts, list):
            yield message
            continue
        blocks: list[JSON] = []
        for part in parts:
            if call := _in_part(part, "functionCall", "function_call"):
                made += 1
                call_id = str(call.get("id") or f"call-{made}")
                waiting[str(call.get("name"))].append(call_id)
                named = {"name": call.get("name"), "input": call.get("args")}
                blocks.append({"type": "tool_use", "id": call_id, **named})
            elif answer := _in_part(part, "functionResponse", "function_response"):
                blocks.append(_answer(answer, waiting))
            elif isinstance(part, dict) and part.get("thought") is True:
                blocks.append({"type": "thinking", "thinking": part.get("text")})
            else:
                blocks.append(part)
        role = "assistant" if message.get("role") == "model" else "user"
        yield {**message, "role": role, "content": blocks}


def _in_part(part: JSON, *names: str) -> JSONObject | None:
    """Return what a part of Gemini's holds under its name, which a dump of its SDK writes in another way."""
    found = (part.get(name) for name in names) if isinstance(part, dict) else ()
    return next((inner for inner in found if isinstance(inner, dict)), None)


def _answer(answer: JSONObject, waiting: Mapping[str, deque[str]]) -> JSONObject:
    asked = waiting[str(answer.get("name"))]
    call_id = str(answer["id"]) if answer.get("id") else asked.popleft() if asked else "unknown"
    response = answer.get("response")
    texts = [response.get(key) for key in _OUTPUTS] if isinstance(response, dict) else [response]
    text = next((text for text in texts if isinstance(text, str)), None)
    content = json.dumps(response, ensure_ascii=False) if text is None else text
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}
