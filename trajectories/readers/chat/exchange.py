"""The messages of a document: in a column of a row, bare, or of a request, with the reply that is held beside them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from trajectories.conversation.fields import CHAT_COLUMNS, text_at
from trajectories.conversation.turns import Note
from trajectories.readers.chat.streams import message_of_stream
from trajectories.types import JSON, JSONObject

_REPLIES = ("response", "raw_response", "response_body", "completion", "output")
_PLAIN_REPLIES = ("response", "completion")  # of these, a text is the reply
_REQUESTS = ("request", "request_body", "body", "input", "inputs")


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A conversation, and what the document says beside it."""

    row: JSONObject  # the document itself; empty for a bare list
    messages: list[JSON]
    model: str | None  # of the request or the response


def exchange_of(value: JSON, note: Note) -> Exchange:
    """Return the messages of a document, with the reply that follows them. Raises ValueError if it holds none."""
    if isinstance(value, list):
        return Exchange(row={}, messages=list(value), model=None)
    if not isinstance(value, Mapping):
        raise ValueError(f"messages are expected, found {type(value).__name__}")
    body, response = request_of(value), response_of(value)
    messages = _column(body)
    if messages is None:
        raise ValueError("no list of messages is in " + ", ".join(CHAT_COLUMNS))
    reply = _reply(response, note)
    if reply is not None and not _is_held(reply, messages, sure=not isinstance(response, str)):
        messages = [*messages, reply]
    model = text_at(body, "model") or (text_at(response, "model") if isinstance(response, Mapping) else None)
    return Exchange(row=value, messages=messages, model=model)


def request_of(value: JSON) -> JSONObject:
    """Return the object that holds the messages: the document, or the request that is in it, parsed if need be.

    >>> request_of({"request": {"body": {"messages": []}}, "response": {}})
    {'messages': []}
    """
    body: JSON = value
    for _ in range(3):  # a log may wrap the body of an HTTP request
        if not isinstance(body, Mapping) or any(body.get(column) for column in CHAT_COLUMNS):
            break
        inner = next(
            (found for key in _REQUESTS if isinstance(found := loaded(body.get(key)), Mapping)), None
        )
        if inner is None:
            break
        body = inner
    return body if isinstance(body, Mapping) else {}


def response_of(value: JSON) -> JSON:
    """Return the response beside the request, the document itself if it is one, None if there is none."""
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("choices"), list):
        return value
    held = ((key, loaded(value.get(key))) for key in _REPLIES)
    fits = (inner for key, inner in held if inner and (key in _PLAIN_REPLIES or not isinstance(inner, str)))
    found = next(fits, None)
    if isinstance(found, Mapping) and "choices" not in found and "body" in found:
        found = loaded(found["body"])
    return found


def loaded(value: JSON) -> JSON:
    """Return a value that a program wrote as the text of its JSON, any other as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _column(body: JSONObject) -> list[JSON] | None:
    columns = (loaded(body.get(column)) for column in CHAT_COLUMNS)
    return next((list(column) for column in columns if isinstance(column, list)), None)


def _reply(response: JSON, note: Note) -> JSONObject | None:
    """Return the assistant's message of a response of any shape, None if it holds none."""
    if isinstance(response, str):
        return message_of_stream(response) or (
            {"role": "assistant", "content": response} if response.strip() else None
        )
    if isinstance(response, list):
        return message_of_stream(response)
    if not isinstance(response, Mapping):
        return None
    choices = response.get("choices")
    if isinstance(choices, list) and choices:
        if len(choices) > 1:
            note("other_choices")
        return _message_of(choices[0])
    found = response["message"] if isinstance(response.get("message"), Mapping) else response
    return found if found.get("role") == "assistant" else None


def _message_of(choice: JSON) -> JSONObject | None:
    found = choice.get("message") if isinstance(choice, Mapping) else None
    if isinstance(found, Mapping):
        return {**found, "role": "assistant"}
    text = choice.get("text") if isinstance(choice, Mapping) else None
    return {"role": "assistant", "content": text} if isinstance(text, str) else None


def _is_held(reply: JSONObject, messages: list[JSON], *, sure: bool) -> bool:
    """Return whether the last message is the reply: a program may append it before it writes its log.

    ``sure``: the reply is a message; a mere text after a reply is taken for the same.
    """
    last = messages[-1] if messages else None
    if not isinstance(last, Mapping) or last.get("role") != "assistant":
        return False
    if not sure:
        return True
    keys = ("content", "tool_calls", "function_call")
    return all((last.get(key) or None) == (reply.get(key) or None) for key in keys)
