"""Calls that a model writes into its text: XML, Hermes' and Qwen's ``<tool_call>``, and the forms of other modules."""

import json
from ast import literal_eval

from trajectories.conversation.events import Reply
from trajectories.conversation.reasoning import join_reasoning, split_thinking
from trajectories.readers.chat.messages import BAD_CALL, FUNCTION, openai_reply, xml_reply
from trajectories.readers.chat.tagged_calls import CALL_ENDS, tagged_reply, tagged_start
from trajectories.readers.chat.terminus import terminus_reply
from trajectories.types import JSON

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_ANSWER, _ANSWER_END = "<tool_response>", "</tool_response>"
# Models write line breaks into JSON strings as they are.
_DECODER = json.JSONDecoder(strict=False)
_ENDS = ("</function>", *CALL_ENDS, _CLOSE)
_LONGEST_LITERAL = 20_000  # characters; Python's own reader is slow


def text_reply(content: str, reasoning: str = "") -> Reply:
    """Read a turn whose calls, if any, are in its text, in the form that the text shows.

    >>> text_reply('Look.\\n<tool_call>\\n{"name": "bash", "arguments": {"command": "ls"}}\\n</tool_call>').calls[0]
    Call(action=Action(name='bash', arguments={'command': 'ls'}), call_id=None)
    """
    if content[:20].lstrip().startswith("{") and (terminus := terminus_reply(content, reasoning)):
        return terminus  # with the tags that its texts hold
    thinking, visible = split_thinking(content)
    reasoning = join_reasoning(reasoning, thinking)
    if terminus := terminus_reply(visible, reasoning):
        return terminus
    # The argument of a call may hold calls in another form: the first one is the model's.
    xml, tagged = visible.find(FUNCTION), tagged_start(visible)
    hermes = visible.find(_OPEN) if _holds_json_call(visible) else -1
    first = min([place for place in (xml, tagged, hermes) if place >= 0], default=-1)
    if tagged >= 0 and first == tagged:
        return tagged_reply(visible, reasoning)
    if hermes >= 0 and first == hermes:
        return _hermes_reply(visible, reasoning)
    return xml_reply(visible, reasoning)


def text_after_calls(content: str) -> str:
    """Return what a reply with calls in its text says after the last of them."""
    if content.rstrip().endswith(_ENDS):
        return ""
    tail = content
    for end in _ENDS:
        tail = tail.rpartition(end)[2]
    return "" if tail == content else tail.strip()


def _holds_json_call(text: str) -> bool:
    """Return whether the first ``<tool_call>`` that is no mere word holds JSON, or nothing that is known."""
    start = text.find(_OPEN)
    if start < 0:
        return False
    inner = text[start + len(_OPEN) :].lstrip()
    return not inner.startswith(FUNCTION) and (inner.startswith(("{", "[")) or _CLOSE in inner)


def _hermes_reply(text: str, reasoning: str) -> Reply:
    """Read JSON calls between tags; the last closing tag may be missing at the end of the reply."""
    start = text.find(_OPEN)
    thought = text[:start]
    calls: list[JSON] = []
    while start >= 0:
        start = _skip_space(text, start + len(_OPEN))
        try:
            value, end = _value_at(text, start)
        except (ValueError, RecursionError):
            return Reply(thought=thought, reasoning=reasoning, problem=BAD_CALL)
        calls += value if isinstance(value, list) else [value]
        end = _skip_space(text, end)
        if end < len(text) and not text.startswith(_CLOSE, end):
            return Reply(thought=thought, reasoning=reasoning, problem=BAD_CALL)
        start = text.find(_OPEN, end)
    return openai_reply(thought, calls, reasoning)


def _value_at(text: str, start: int) -> tuple[JSON, int]:
    """Return the JSON that begins there, or the literal of Python that Hermes' set has in its place, and its end."""
    try:
        return _DECODER.raw_decode(text, start)
    except ValueError:
        end = text.find(_CLOSE, start)
        if end < 0 or end - start > _LONGEST_LITERAL:
            raise
    try:
        return json.loads(json.dumps(literal_eval(text[start:end].strip()))), end
    except (SyntaxError, TypeError, MemoryError) as error:
        raise ValueError("neither JSON nor a literal of Python") from error


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def function_call_reply(content: str, reasoning: str = "") -> Reply:
    """Read a ShareGPT turn of role ``function_call``: the JSON of one call or several, or text with calls."""
    stripped = content.strip()
    if stripped.startswith(("{", "[")):
        try:
            value = _DECODER.decode(stripped)
        except (ValueError, RecursionError):
            return Reply(thought=content, reasoning=reasoning, problem=BAD_CALL)
        listed = value if isinstance(value, list) else [value]
        return openai_reply("", listed, reasoning)
    reply = text_reply(content, reasoning)
    return reply if reply.calls or reply.problem else Reply(thought=content, problem=BAD_CALL)


def without_answer_tags(text: str) -> str:
    """Return the text of a result without the ``<tool_response>`` tags around it, or around each of several.

    >>> without_answer_tags("<tool_response>\\na.py\\n</tool_response>\\n<tool_response>\\nb.py\\n</tool_response>")
    'a.py\\nb.py'
    """
    if not text.lstrip().startswith(_ANSWER):
        return text
    pieces: list[str] = []
    at = 0
    while (start := text.find(_ANSWER, at)) >= 0:
        pieces.append(text[at:start].strip())
        start += len(_ANSWER)
        close = text.find(_ANSWER_END, start)
        close = close if close >= 0 else len(text)
        pieces.append(text[start:close].removeprefix("\n").removesuffix("\n"))
        at = close + len(_ANSWER_END)
    pieces.append(text[at:].strip())
    return "\n".join(piece for piece in pieces if piece)
