"""SWE-agent's text formats: the call as the model wrote it, where ``action`` is the shell line rendered from it."""

import json
import re

from trajectories.conversation.events import Call, Reply
from trajectories.types import Action

_FUNCTION = re.compile(r"<function=([^>\n]{1,200})>")
_PARAMETER = re.compile(r"<parameter=([^>\n]{1,200})>")
_CLOSE, _CLOSE_PARAMETER = "</function>", "</parameter>"


def real_call(content: str, thought: str, action: str) -> Reply | None:
    """Return the turn with the call that the content holds, None if the action itself is the model's text."""
    return _xml_call(content, thought, action) or _json_call(content)


def _xml_call(content: str, thought: str, action: str) -> Reply | None:
    """Read the first ``<function=…>``: SWE-agent runs no other. Its rest is the thought, by which it is known."""
    match = _FUNCTION.search(content)
    if match is None:
        return None
    end = content.find(_CLOSE, match.end())
    end = len(content) if end < 0 else end  # a server stopped there
    call = Action(name=match[1].strip(), arguments=_parameters(content[match.end() : end]))
    before, after = content[: match.start()], content[end + len(_CLOSE) :]
    if f"{before}{after}".strip() != thought.strip() and not _renders(action, call):
        return None
    return Reply(thought=before, calls=(Call(action=call),))


def _parameters(body: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while match := _PARAMETER.search(body, at):
        end = body.find(_CLOSE_PARAMETER, match.end())
        if end < 0:
            break
        found[match[1]] = body[match.end() : end].removeprefix("\n").removesuffix("\n")
        at = end + len(_CLOSE_PARAMETER)
    return found


def _renders(action: str, call: Action) -> bool:
    """Return whether a shell line is that of a call: the command itself, or the tool's name with its arguments."""
    line = action.strip()
    values = (value.strip() for value in call.arguments.values() if isinstance(value, str))
    return line.partition(" ")[0] == call.name or line in values or (call.name, line) == ("finish", "submit")


def _json_call(content: str) -> Reply | None:
    """Read ``{"thought": …, "command": {"name": …, "arguments": {…}}}``."""
    if not content.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(content)
    except ValueError:
        return None
    command = found.get("command") if isinstance(found, dict) else None
    name = command.get("name") if isinstance(command, dict) else None
    arguments = command.get("arguments") or {} if isinstance(command, dict) else None
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    thought = found.get("thought")
    call = Call(action=Action(name=name, arguments=arguments))
    return Reply(thought=thought if isinstance(thought, str) else "", calls=(call,))
