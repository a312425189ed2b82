"""Calls in a reply's text under the marks of a model family: GLM, Kimi, DeepSeek, MiniMax and older Claude."""

import json
import re
from collections.abc import Callable, Iterator

from trajectories.conversation.events import Reply
from trajectories.readers.chat.messages import BAD_CALL, make_reply
from trajectories.types import JSON

Listed = tuple[JSON, JSON, JSON]  # name, arguments and id of a call

_DECODER = json.JSONDecoder(strict=False)  # models write line breaks into JSON strings as they are
_TOOL_CALL, _TOOL_CALL_END = "<tool_call>", "</tool_call>"
_GLM = re.compile(r"<tool_call>\s*[\w.-]+\s*(?=<arg_key>|</tool_call>)")
_KEY, _KEY_END, _VALUE, _VALUE_END = "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"
_KIMI, _KIMI_ARGUMENTS, _KIMI_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
_SEEK, _SEEK_ARGUMENTS, _SEEK_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
_INVOKE, _SEEK_INVOKE = "<invoke name=", "<｜DSML｜invoke name="  # the latter is DeepSeek 3.2's
_INVOKED = re.compile(r"""<(｜DSML｜)?invoke name=["']?([^"'>\n]+)["']?>""")
_PARAMETER = re.compile(r"""<(?:｜DSML｜)?parameter name=["']?([^"'>\n]+)["']?(?: string="(true|false)")?>""")
# What stands around all calls of a reply.
_AROUND = (
    "<minimax:tool_call>",
    "<function_calls>",
    "<｜DSML｜function_calls>",
    "<|tool_calls_section_begin|>",
    "<｜tool▁calls▁begin｜>",
    _TOOL_CALL,
)

# What may end a call, and then all of them.
CALL_ENDS = (
    _KIMI_END,
    "<|tool_calls_section_end|>",
    _SEEK_END,
    "<｜tool▁calls▁end｜>",
    "</｜DSML｜invoke>",
    "</｜DSML｜function_calls>",
    "</invoke>",
    "</function_calls>",
    "</minimax:tool_call>",
)


def tagged_start(text: str) -> int:
    """Return where the first call under such marks begins, -1 if there is none."""
    glm = _GLM.search(text) if _TOOL_CALL in text else None
    places = [glm.start()] if glm else []
    places += [place for mark in _FORMS if mark != _TOOL_CALL and (place := text.find(mark)) >= 0]
    return min(places, default=-1)


def tagged_reply(text: str, reasoning: str) -> Reply:
    """Read a turn with calls under such marks. One bad call spoils the turn.

    >>> call = "<tool_call>bash<arg_key>command</arg_key><arg_value>ls</arg_value></tool_call>"
    >>> tagged_reply(call, "").calls[0]
    Call(action=Action(name='bash', arguments={'command': 'ls'}), call_id=None)
    """
    start = tagged_start(text)
    mark = next((mark for mark in _FORMS if text.startswith(mark, start)), _TOOL_CALL)
    thought = text[: max(start, 0)].rstrip()
    for around in _AROUND:
        thought = thought.removesuffix(around).rstrip()
    try:
        calls = list(_FORMS[mark](text, start))
    except (ValueError, RecursionError):
        return Reply(thought=thought, reasoning=reasoning, problem=BAD_CALL)
    return make_reply(thought, calls, reasoning)


def _between(text: str, start: int, mark: str) -> tuple[str, int]:
    """Return the text up to a mark, and the place behind it. Raises ValueError."""
    end = text.index(mark, start)
    return text[start:end], end + len(mark)


def _closed(text: str, at: int, mark: str) -> None:
    """Raise ValueError unless the mark comes next, or the end of the text, at which a server may have stopped."""
    if at < len(text) and not text.startswith(mark, at):
        raise ValueError(f"{mark} is expected")


def _glm(text: str, at: int) -> Iterator[Listed]:
    """Read a name, keys and values between tags; values stay strings."""
    while at >= 0:
        at += len(_TOOL_CALL)
        ends = [end for mark in (_KEY, _TOOL_CALL_END) if (end := text.find(mark, at)) >= 0]
        name, at = text[at : min(ends)].strip(), min(ends)
        arguments: dict[str, JSON] = {}
        while text.startswith(_KEY, at):
            key, at = _between(text, at + len(_KEY), _KEY_END)
            _, at = _between(text, at, _VALUE)
            arguments[key.strip()], at = _between(text, at, _VALUE_END)
            at = _skip_space(text, at)
        _closed(text, at, _TOOL_CALL_END)
        yield name, arguments, None
        at = text.find(_TOOL_CALL, at)


def _invoked(text: str, at: int) -> Iterator[Listed]:
    """Read names and parameters in attributes of tags; values stay strings unless the tag says that they are none."""
    while at >= 0:
        head = _INVOKED.match(text, at)
        if head is None:
            raise ValueError("a name is expected")
        prefix = head[1] or ""
        at = _skip_space(text, head.end())
        arguments: dict[str, JSON] = {}
        while parameter := _PARAMETER.match(text, at):
            value, at = _between(text, parameter.end(), f"</{prefix}parameter>")
            value = value.removeprefix("\n").removesuffix("\n")
            arguments[parameter[1]] = _DECODER.decode(value) if parameter[2] == "false" else value
            at = _skip_space(text, at)
        _closed(text, at, f"</{prefix}invoke>")
        yield head[2].strip(), arguments, None
        at = text.find(f"<{prefix}invoke name=", at)


def _kimi(text: str, at: int) -> Iterator[Listed]:
    """Read ``functions.name:0`` and JSON, each behind its mark."""
    while at >= 0:
        call_id, at = _between(text, at + len(_KIMI), _KIMI_ARGUMENTS)
        arguments, at = _between(text, at, _KIMI_END)
        name = call_id.strip().removeprefix("functions.")
        yield name.rpartition(":")[0] or name, _DECODER.decode(arguments.strip() or "{}"), None
        at = text.find(_KIMI, at)


def _deepseek(text: str, at: int) -> Iterator[Listed]:
    """Read a name and JSON; before 3.1 the word ``function`` comes first, and the JSON is in a fence."""
    while at >= 0:
        name, at = _between(text, at + len(_SEEK), _SEEK_ARGUMENTS)
        arguments, at = _between(text, at, _SEEK_END)
        before, fence, fenced = arguments.partition("```json")
        if fence and name.strip() == "function":
            name, arguments = before, fenced.rpartition("```")[0]
        yield name.strip(), _DECODER.decode(arguments.strip() or "{}"), None
        at = text.find(_SEEK, at)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


# The mark that a call begins with, and how to read it and those after it.
_FORMS: dict[str, Callable[[str, int], Iterator[Listed]]] = {
    _TOOL_CALL: _glm,
    _KIMI: _kimi,
    _SEEK: _deepseek,
    _INVOKE: _invoked,
    _SEEK_INVOKE: _invoked,
}
