"""Calls that a model writes into its text: XML, Hermes' and Qwen's ``<tool_call>``, Terminus' JSON."""

import json
from collections.abc import Mapping

from trajectories.conversation.events import Reply
from trajectories.conversation.reasoning import join_reasoning, split_thinking
from trajectories.readers.chat.messages import BAD_CALL, FUNCTION, make_reply, openai_reply, xml_reply
from trajectories.types import JSON

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_ANSWER, _ANSWER_END = "<tool_response>", "</tool_response>"
# Models write line breaks into JSON strings as they are.
_DECODER = json.JSONDecoder(strict=False)


def text_reply(content: str, reasoning: str = "") -> Reply:
    """Read a turn whose calls, if any, are in its text, in the form that the text shows.

    >>> text_reply('Look.\\n<tool_call>\\n{"name": "bash", "arguments": {"command": "ls"}}\\n</tool_call>').calls[0]
    Call(action=Action(name='bash', arguments={'command': 'ls'}), call_id=None)
    """
    tagged, visible = split_thinking(content)
    reasoning = join_reasoning(reasoning, tagged)
    if _holds_json_call(visible):
        return _hermes_reply(visible, reasoning)
    if FUNCTION not in visible and (terminus := _terminus_reply(visible, reasoning)):
        return terminus
    return xml_reply(visible, reasoning)


def text_after_calls(content: str) -> str:
    """Return what a reply with calls in its text says after the last of them."""
    tail = content
    for end in ("</function>", _CLOSE):
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
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            return Reply(thought=thought, reasoning=reasoning, problem=BAD_CALL)
        calls += value if isinstance(value, list) else [value]
        end = _skip_space(text, end)
        if end < len(text) and not text.startswith(_CLOSE, end):
            return Reply(thought=thought, reasoning=reasoning, problem=BAD_CALL)
        start = text.find(_OPEN, end)
    return openai_reply(thought, [_with_arguments(call) for call in calls], reasoning)


def _with_arguments(call: JSON) -> JSON:
    """Return a JSON call whose arguments are under ``arguments``; some models write ``parameters``."""
    if isinstance(call, Mapping) and "arguments" not in call and "parameters" in call:
        return {**call, "arguments": call["parameters"]}
    return call


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
        return openai_reply("", [_with_arguments(call) for call in listed], reasoning)
    reply = text_reply(content, reasoning)
    return reply if reply.calls or reply.problem else Reply(thought=content, problem=BAD_CALL)


def _terminus_reply(text: str, reasoning: str) -> Reply | None:
    """Read a reply of Terminus 2, named as Harbor names its calls; None for any other text."""
    start = text.find("{")
    if start < 0 or '"commands"' not in text:
        return None
    try:
        value, _ = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, Mapping) or not isinstance(value.get("commands"), list):
        return None
    if not {"analysis", "plan"} & set(value):
        return None
    said = {"Analysis": value.get("analysis"), "Plan": value.get("plan")}
    thought = "\n".join(f"{name}: {part}" for name, part in said.items() if isinstance(part, str) and part)
    calls: list[tuple[JSON, JSON, JSON]] = [_terminus_call(command) for command in value["commands"]]
    if str(value.get("task_complete", "")).lower() in ("true", "1", "yes"):
        calls.append(("mark_task_complete", {}, None))
    return make_reply(thought, calls, reasoning)


def _terminus_call(command: JSON) -> tuple[JSON, JSON, JSON]:
    if not isinstance(command, Mapping) or not isinstance(command.get("keystrokes"), str):
        return None, None, None
    duration = command.get("duration", 1.0)
    return "bash_command", {"keystrokes": command["keystrokes"], "duration": duration}, None


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
