"""Detection of a document's format from its content."""

from collections.abc import Callable, Mapping, Sequence

from trajectories.types import JSON, JSONObject

_LOOKED_AT = 200  # messages that are inspected to distinguish chat formats
_OF_OPENHANDS = ("action", "observation")
_ITEM_ENDINGS = ("_call", "_call_output")  # of the types of items of the Responses API


class UnknownFormat(ValueError):
    """No format, or more than one, fits; the message lists the formats."""


def detect(value: JSON) -> str:
    """Return the name of the one format that fits. Raises UnknownFormat.

    >>> detect({"trajectory_format": "mini-swe-agent-1.1", "info": {}, "messages": []})
    'mini-swe-agent'
    """
    found = [name for name, fits in _FORMATS.items() if fits(value)]
    chat = _chat_format(value)
    if chat and not found:
        found = chat
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownFormat(f"looks like {' and '.join(found)} at once; choose one with --format")
    raise UnknownFormat(f"{_describe(value)} is of none of the formats {', '.join(FORMAT_NAMES)}")


def _describe(value: JSON) -> str:
    if isinstance(value, Mapping):
        keys = ", ".join(repr(str(key)[:40]) for key in list(value)[:6])
        return f"an object with the keys {keys}" if keys else "an empty object"
    return f"a list of {len(value)}" if isinstance(value, list) else f"a {type(value).__name__}"


def _has(value: JSON, **kinds: type) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())


def _first(value: JSON) -> JSON:
    return value[0] if isinstance(value, list) and value else None


def _is_atif(value: JSON) -> bool:
    return _has(value, schema_version=str, steps=list) and value["schema_version"].startswith("ATIF-")


def _is_responses(value: JSON) -> bool:
    """Accept a response, a request with one, NeMo Gym's rollout, or anything with items of the API's types."""
    items = value
    if isinstance(value, Mapping):
        request = value["request"] if _has(value, request=dict) else value
        response = value["response"] if _has(value, response=dict) else value
        if _has(value, responses_create_params=dict):
            return not _has(value, expected_action=dict)
        if _has(response, output=list) and ("input" in request or response.get("object") == "response"):
            return True
        items = request.get("input")
    shown = items[:_LOOKED_AT] if isinstance(items, list) else []
    return any(str(item.get("type")).endswith(_ITEM_ENDINGS) for item in shown if isinstance(item, Mapping))


def _is_swe_agent(value: JSON) -> bool:
    if _has(value, history=list, trajectory=list):
        return True
    return _has(value, attempts=list) and _has(_first(value["attempts"]), history=list)


def _is_mini(value: JSON) -> bool:
    if not _has(value, messages=list):
        return False
    return str(value.get("trajectory_format", "")).startswith("mini-swe-agent") or _has(value, info=dict)


def _is_trae(value: JSON) -> bool:
    run = value["trajectory"] if _has(value, trajectory=dict) else {}
    return _has(value, agent_steps=list) or "agent_steps" in run


def _is_openhands(value: JSON) -> bool:
    if _has(value, history=list) and not isinstance(value.get("trajectory"), list):
        event = _first(value["history"])
        event = _first(event) if isinstance(event, list) else event
    else:
        event = _first(value)
    return isinstance(event, Mapping) and "role" not in event and not event.keys().isdisjoint(_OF_OPENHANDS)


def _is_claude_code(value: JSON) -> bool:
    if not _has(value, type=str):
        return False
    if value["type"] in ("user", "assistant"):
        return _has(value, sessionId=str, uuid=str)
    return any(key in value for key in ("sessionId", "leafUuid", "snapshot"))


def _is_s1k(value: JSON) -> bool:
    row = _first(value) if isinstance(value, list) else value
    return _has(row, question=str) and ("deepseek_attempt" in row or "gemini_attempt" in row)


def _is_math(value: JSON) -> bool:
    row = _first(value) if isinstance(value, list) else value
    asked = _has(row, question=str) or _has(row, problem=str)
    return asked and _has(row, solution=str) and not _is_s1k(row)


_FORMATS: Mapping[str, Callable[[JSON], bool]] = {
    "atif": _is_atif,
    "claude-code": _is_claude_code,
    "math": _is_math,
    "mini-swe-agent": _is_mini,
    "moatless": lambda value: _has(value, nodes=list) and _has(_first(value["nodes"]), node_id=int),
    "openhands": _is_openhands,
    "openhands-sdk": lambda value: _has(value, kind=str, id=str, timestamp=str, source=str),
    "pivot": lambda value: _has(value, responses_create_params=dict, expected_action=dict),
    "responses": _is_responses,
    "s1k": _is_s1k,
    "store": lambda value: _has(value, schema_version=int, trajectory_id=str, steps=list),
    "swe-agent": _is_swe_agent,
    "swe-smith": lambda value: _has(value, messages=str),
    "trae": _is_trae,
}
FORMAT_NAMES = tuple(sorted((*_FORMATS, "anthropic", "openai")))


def _chat_format(value: JSON) -> list[str]:
    """Return the formats that a list of chat messages fits, bare or under ``messages`` (of ``request``)."""
    body = value["request"] if _has(value, request=dict) else value
    messages = body.get("messages") if isinstance(body, Mapping) else body
    if not isinstance(messages, list) or not messages:
        return []
    if not all(isinstance(message, Mapping) and "role" in message for message in messages[:_LOOKED_AT]):
        return []
    marks = set().union(*(_marks(message) for message in messages[:_LOOKED_AT]))
    if "anthropic" in marks or (isinstance(body, Mapping) and "max_tokens" in body and "openai" not in marks):
        return ["anthropic", "openai"] if "openai" in marks else ["anthropic"]
    if "swe-agent" in marks:
        return ["swe-smith"]
    if "openai" in marks:
        return ["openai"]
    # Calls in the text. A data set's row names its instance; mini-swe-agent's bare list has nothing around it.
    if isinstance(value, Mapping) and "instance_id" in value and marks & {"xml", "fence"}:
        return ["swe-smith"]
    return ["mini-swe-agent"] if "fence" in marks else ["openai"]


def _marks(message: JSONObject) -> set[str]:
    marks = set()
    content = message.get("content")
    if "message_type" in message or "tool_call_ids" in message:
        marks.add("swe-agent")
    elif message.get("tool_calls") or message.get("role") == "tool":
        marks.add("openai")
    if isinstance(content, Sequence) and not isinstance(content, str):
        kinds = {str(block.get("type")) for block in content if isinstance(block, Mapping)}
        if kinds & {"tool_use", "tool_result"}:
            marks.add("anthropic")
    if message["role"] == "assistant" and isinstance(content, str):
        if "<function=" in content:
            marks.add("xml")
        if "```" in content or "<mswea_bash_command>" in content:
            marks.add("fence")
    return marks
