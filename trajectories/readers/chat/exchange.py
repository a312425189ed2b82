"""The messages of a document: in a column of a row, bare, or of a request, with the reply that is held beside them."""

import json
from dataclasses import dataclass

from trajectories.conversation.fields import CHAT_COLUMNS, text_at
from trajectories.conversation.turns import Note
from trajectories.readers.chat.langchain import as_message
from trajectories.readers.chat.provider_blocks import as_blocks
from trajectories.readers.chat.streams import message_of_stream
from trajectories.schema_check import MAX_DEPTH
from trajectories.types import JSON, JSONObject

_REPLIES = ("response", "raw_response", "response_body", "completion", "output", "outputs")
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
        return Exchange(row={}, messages=as_blocks(unpadded(value)), model=None)
    if not isinstance(value, dict):
        raise ValueError(f"messages are expected, found {type(value).__name__}")
    body, response = request_of(value), response_of(value)
    column = column_of(body)
    if column is None:
        raise ValueError("no list of messages is in " + ", ".join(CHAT_COLUMNS))
    messages = messages_in(body[column])
    reply = _reply(response, note)
    if reply is not None and not _is_held(reply, messages, sure=not isinstance(response, str)):
        messages = [*messages, reply]
    model = text_at(body, "model") or (text_at(response, "model") if isinstance(response, dict) else None)
    return Exchange(row=value, messages=messages, model=model)


def request_of(value: JSON) -> JSONObject:
    """Return the object that holds the messages: the document, or the request that is in it, parsed if need be.

    >>> request_of({"request": {"body": {"messages": []}}, "response": {}})
    {'messages': []}
    """
    body: JSON = value
    for _ in range(3):  # a log may wrap the body of an HTTP request
        if not isinstance(body, dict) or any(body.get(column) for column in CHAT_COLUMNS):
            break
        inner = next(filter(_is_request, (loaded(body.get(key)) for key in _REQUESTS)), None)
        if isinstance(inner, list):  # Langfuse's observations
            return {**body, "messages": inner}
        if inner is None:
            break
        body = inner
    return body if isinstance(body, dict) else {}


def _is_request(value: JSON) -> bool:
    """Return whether a value is an object, or a list of messages."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) and "role" in item for item in value)
    return isinstance(value, dict)


def response_of(value: JSON) -> JSON:
    """Return the response beside the request, the document itself if it is one, None if there is none."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("choices"), list):
        return value
    held = ((key, loaded(value.get(key))) for key in _REPLIES)
    fits = (inner for key, inner in held if inner and (key in _PLAIN_REPLIES or not isinstance(inner, str)))
    found = next(fits, None)
    if isinstance(found, dict) and "choices" not in found and "body" in found:
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


def column_of(body: JSONObject) -> str | None:
    """Return the column that holds the messages, an empty one only if there is no other; None for none."""
    lists = [column for column in CHAT_COLUMNS if _is_list(body.get(column))]
    return next((column for column in lists if body[column] not in ([], "[]")), lists[0] if lists else None)


def _is_list(value: JSON) -> bool:
    """Return whether a value is a list, or begins as the JSON of one does."""
    return isinstance(value, list) or (isinstance(value, str) and value[:20].lstrip().startswith("["))


def messages_in(column: JSON, most: int | None = None) -> list[JSON]:
    """Return the messages of a column without the nulls of a table, at ``most`` the first ones.

    LangSmith's column is a list of such lists, of which the first one is read.
    """
    listed = loaded(column)
    if isinstance(listed, list) and listed and all(isinstance(inner, list) for inner in listed):
        listed = listed[0]
    return as_blocks(unpadded(listed[:most])) if isinstance(listed, list) else []


def unpadded(messages: list[JSON]) -> list[JSON]:
    """Return messages without nulls if all have the same keys: a table pads objects with nulls for absent keys.

    >>> unpadded([{"role": "user", "name": None}, {"role": "tool", "name": "bash"}])
    [{'role': 'user'}, {'role': 'tool', 'name': 'bash'}]
    """
    objects = [message for message in messages if isinstance(message, dict)]
    alike = len(objects) == len(messages) > 1 and all(one.keys() == objects[0].keys() for one in objects)
    padded = alike and any(value is None for one in objects for value in one.values())
    return [_without_nulls(message) for message in messages] if padded else list(messages)


def _without_nulls(value: JSON, depth: int = MAX_DEPTH) -> JSON:
    if depth == 0:  # no reader takes what is nested more deeply
        return value
    if isinstance(value, dict):
        return {key: _without_nulls(inner, depth - 1) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner, depth - 1) for inner in value] if isinstance(value, list) else value


def _reply(response: JSON, note: Note) -> JSONObject | None:
    """Return the assistant's message of a response of any shape, None if it holds none."""
    if isinstance(response, str):
        return message_of_stream(response) or (
            {"role": "assistant", "content": response} if response.strip() else None
        )
    if isinstance(response, list):
        return message_of_stream(response)
    if not isinstance(response, dict):
        return None
    choices = response.get("choices")
    if isinstance(choices, list) and choices:
        if len(choices) > 1:
            note("other_choices")
        return _message_of(choices[0])
    found = as_message(_inner_message(response))
    if isinstance(found.get("parts"), list):  # Gemini's, which may leave out the role
        found = {**found, "role": "model"}
    (found,) = as_blocks([found])
    return found if found.get("role") == "assistant" else None


def _inner_message(response: JSONObject) -> JSONObject:
    """Return the message of a response: itself, or where Bedrock, Gemini and LangSmith put it."""
    output = response.get("output")
    response = output if isinstance(output, dict) else response
    for key, name in (("generations", "message"), ("candidates", "content")):
        first = response.get(key)
        while isinstance(first, list) and first:
            first = first[0]
        if isinstance(first, dict) and isinstance(first.get(name), dict):
            inner: JSONObject = first[name]
            return inner
    return response["message"] if isinstance(response.get("message"), dict) else response


def _message_of(choice: JSON) -> JSONObject | None:
    found = choice.get("message") if isinstance(choice, dict) else None
    if isinstance(found, dict):
        return {**found, "role": "assistant"}
    text = choice.get("text") if isinstance(choice, dict) else None
    return {"role": "assistant", "content": text} if isinstance(text, str) else None


def _is_held(reply: JSONObject, messages: list[JSON], *, sure: bool) -> bool:
    """Return whether the last message is the reply: a program may append it before it writes its log.

    ``sure``: the reply is a message; a mere text after a reply is taken for the same.
    """
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return False
    if not sure:
        return True
    keys = ("content", "tool_calls", "function_call")
    return all((last.get(key) or None) == (reply.get(key) or None) for key in keys)
