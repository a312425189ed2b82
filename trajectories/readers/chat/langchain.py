"""Messages of LangChain, as LangGraph and LangSmith log them: a class or a ``type`` in place of a role."""

from trajectories.types import JSON, JSONObject

# What ``type`` or the class says, and OpenAI's role for it.
ROLES = {
    "human": "user",
    "HumanMessage": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "tool": "tool",
    "ToolMessage": "tool",
    "function": "tool",
    "FunctionMessage": "tool",
    "system": "system",
    "SystemMessage": "system",
}


def is_message(value: JSON) -> bool:
    """Return whether a value is a message of LangChain: dumped, in ``data``, or as a constructor with ``kwargs``."""
    if not isinstance(value, dict) or "role" in value or "from" in value:
        return False
    if value.get("type") == "constructor":
        return isinstance(value.get("kwargs"), dict) and _kind(value) in ROLES
    return _kind(value) in ROLES and ("content" in value or isinstance(value.get("data"), dict))


def as_message(value: JSONObject) -> JSONObject:
    """Return a message of LangChain with a ``role``, its own fields at the top; any other as it is.

    >>> as_message({"type": "ai", "data": {"content": "Look."}})
    {'content': 'Look.', 'role': 'assistant'}
    """
    if not is_message(value):
        return value
    held = next((inner for key in ("kwargs", "data") if isinstance(inner := value.get(key), dict)), value)
    return {**held, "role": ROLES[_kind(value)]}


def _kind(value: JSONObject) -> str:
    path = value.get("id")
    if value.get("type") == "constructor" and isinstance(path, list) and path:
        return str(path[-1])
    return str(value.get("type"))
