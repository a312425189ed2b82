"""Replies of Terminus 1 and 2, in JSON or XML, with their calls named as Harbor names them."""

import json
import re
from dataclasses import replace

from trajectories.conversation.events import Reply
from trajectories.readers.chat.messages import FUNCTION, make_reply
from trajectories.types import JSON, JSONObject

# Models write line breaks into JSON strings as they are.
_DECODER = json.JSONDecoder(strict=False)
_SAID = (
    ("Analysis", ("analysis", "state_analysis")),
    ("Plan", ("plan", "explanation")),
)  # the second names are Terminus 1's
_KEYSTROKES = re.compile(r"""<keystrokes(?:\s+duration=["']?([\d.]+)["']?)?\s*>""")
_KEYSTROKES_END = "</keystrokes>"


def terminus_reply(text: str, reasoning: str) -> Reply | None:
    """Read a reply of Terminus, None for any other text.

    >>> terminus_reply('{"analysis": "A", "plan": "P", "commands": [{"keystrokes": "ls\\\\n"}]}', "").thought
    'Analysis: A\\nPlan: P'
    """
    value = _json_reply(text) or _xml_reply(text)
    if value is None:
        return None
    said = ((name, next((value[key] for key in keys if key in value), None)) for name, keys in _SAID)
    thought = "\n".join(f"{name}: {part}" for name, part in said if isinstance(part, str) and part)
    calls: list[tuple[JSON, JSON, JSON]] = [_call(command) for command in value["commands"]]
    done = value.get("task_complete", value.get("is_task_complete", ""))
    if str(done).strip().lower() in ("true", "1", "yes"):
        calls.append(("mark_task_complete", {}, None))
    return make_reply(thought, calls, reasoning)


def without_calls(reply: Reply) -> Reply:
    """Return a reply without the JSON in its text from which a program made its calls, with what that says."""
    own = terminus_reply(reply.thought, "") if reply.calls else None
    if own is None or [call.action.name for call in own.calls] != [call.action.name for call in reply.calls]:
        return reply
    return replace(reply, thought=own.thought)


def _json_reply(text: str) -> JSONObject | None:
    if "{" not in text or '"commands"' not in text:
        return None
    start, function = text.find("{"), text.find(FUNCTION)
    if 0 <= function < start:
        return None
    try:
        value, _ = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("commands"), list):
        return None
    return value if any(key in value for _, keys in _SAID for key in keys) else None


def _xml_reply(text: str) -> JSONObject | None:
    """Read ``<response>`` with ``<analysis>``, ``<plan>``, ``<commands>`` of ``<keystrokes>``, ``<task_complete>``."""
    if "<response>" not in text:
        return None
    inner = text.partition("<response>")[2]
    commands = _tag(inner, "commands")
    if commands is None or _tag(inner, "analysis") is None:
        return None
    found: list[JSON] = []
    at = 0
    while head := _KEYSTROKES.search(commands, at):
        end = commands.find(_KEYSTROKES_END, head.end())
        if end < 0:
            found.append(None)  # cut off
            break
        duration = {"duration": float(head[1])} if head[1] and head[1].count(".") < 2 else {}
        found.append({"keystrokes": commands[head.end() : end], **duration})
        at = end + len(_KEYSTROKES_END)
    said = {name: part.strip() for name in ("analysis", "plan") if (part := _tag(inner, name)) is not None}
    rest = inner.rpartition("</commands>")[2]
    return {**said, "commands": found, "task_complete": _tag(rest, "task_complete") or ""}


def _tag(text: str, name: str) -> str | None:
    """Return what is between the first opening tag and the next closing one, None if there is no such pair."""
    _, opened, rest = text.partition(f"<{name}>")
    inner, closed, _ = rest.partition(f"</{name}>")
    return inner if opened and closed else None


def _call(command: JSON) -> tuple[JSON, JSON, JSON]:
    if not isinstance(command, dict) or not isinstance(command.get("keystrokes"), str):
        return None, None, None
    keys = ("keystrokes", "is_blocking", "timeout_sec")  # the latter are Terminus 1's
    arguments = {key: command[key] for key in keys if key in command}
    if "timeout_sec" not in command:
        arguments["duration"] = command.get("duration", 1.0)
    return "bash_command", arguments, None
