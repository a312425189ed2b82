"""Other forms of chat messages as OpenAI's: ShareGPT turns, and the older ``function_call``."""

from collections.abc import Iterable, Iterator

from trajectories.conversation.turns import Note
from trajectories.readers.chat.langchain import as_message
from trajectories.readers.chat.messages import as_id
from trajectories.types import JSON, JSONObject

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "function": "tool",
    "ipython": "tool",
    "system": "system",
    "developer": "developer",
}
_PLAIN_ROLES = ("assistant", "tool", "user", "system")
CALL_ROLES = ("function_call", "tool_call")


def as_chat(message: JSON) -> JSONObject | None:
    """Return a message with ``role`` and ``content`` under OpenAI's names, None for what is no message.

    >>> as_chat({"from": "human", "value": "Fix it."})["role"]
    'user'
    """
    if not isinstance(message, dict):
        return None
    said = as_message(message)
    if said.get("role") in _PLAIN_ROLES and "content" in said:
        return said
    speaker = said.get("role") or said.get("from")
    role = _ROLES.get(speaker.lower(), speaker) if isinstance(speaker, str) else None
    content = next((said[key] for key in ("content", "value", "text") if said.get(key) is not None), None)
    return {**said, "role": role, "content": content, "from": speaker}


def as_chats(messages: Iterable[JSON], note: Note) -> Iterator[JSONObject]:
    """Yield messages under OpenAI's names, the older ``function_call`` as ``tool_calls``.

    A message holds one ``function_call``, so parallel calls are messages of their own: those that follow each other
    without a text become one message. Qwen-Agent numbers them in ``extra``.
    """
    held: dict[str, JSON] | None = None  # a message with older calls, which may get more
    for raw in messages:
        message = as_chat(raw)
        if message is None:
            note("message_not_understood")
            continue
        call = _older_call(message)
        if held and call and not message.get("content"):
            held["tool_calls"] = [*held["tool_calls"], call]
            continue
        if held:
            yield held
        held = {**message, "tool_calls": [call]} if call else None
        if held is None:
            number = _number(message)
            is_result = message["role"] == "tool" and not message.get("tool_call_id")
            yield {**message, "tool_call_id": number} if number and is_result else message
    if held:
        yield held


def _older_call(message: JSONObject) -> JSONObject | None:
    older = message.get("function_call")
    if (
        message["role"] != "assistant"
        or message.get("tool_calls")
        or not isinstance(older, dict)
        or not older
    ):
        return None
    return {"id": _number(message), "function": older}


def _number(message: JSONObject) -> str | None:
    extra = message.get("extra")
    return as_id(extra.get("function_id")) if isinstance(extra, dict) else None
