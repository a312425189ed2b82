"""What the chat formats share: texts of messages, calls in OpenAI's, Anthropic's and textual forms."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trajectories.readers.events import Call, Event, Reply, Result, Said
from trajectories.types import JSON, Action

Message = Mapping[str, Any]

BAD_ARGUMENTS = "arguments_not_an_object"
BAD_CALL = "unparsable_call"

_FUNCTION = re.compile(r"<function=([^>\n]+)>\n?(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>(.*?)</parameter>", re.DOTALL)
_LABEL = re.compile(r"\A(?:OBSERVATION:\n|EXECUTION RESULT of \[[^\]\n]*\]:\n)")


def text_of(content: JSON) -> str:
    """The text of a message's content: a string, null, or a list of blocks (strings or ``{type, text}``).

    Thinking blocks are no part of it; images and other blocks stand as ``[type]``.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        raise TypeError(f"content is of type {type(content).__name__}")
    return "\n".join(piece for block in content if (piece := _block_text(block)))


def _block_text(block: JSON) -> str:
    if isinstance(block, str):
        return block
    if not isinstance(block, Mapping):
        raise TypeError(f"content block is of type {type(block).__name__}")
    kind = block.get("type", "text")
    if kind in ("thinking", "redacted_thinking", "reasoning"):
        return ""
    if isinstance(block.get("text"), str):
        return str(block["text"])
    if isinstance(block.get("content"), str | list):  # a document or a search result
        return text_of(block["content"])
    return f"[{kind}]"


def without_label(text: str) -> str:
    """An observation without its scaffold's heading (``OBSERVATION:``, ``EXECUTION RESULT of [tool]:``)."""
    return _LABEL.sub("", text, count=1)


def shell_text(output: str, metadata: JSON) -> str:
    """What OpenHands shows the model of a command: its output, how it ended, and where the shell stands.

    >>> shell_text("a.py", {"suffix": "\\n[The command completed with exit code 0.]", "exit_code": 0})
    'a.py\\n[The command completed with exit code 0.]\\n[Command finished with exit code 0]'
    """
    if not isinstance(metadata, Mapping):
        return output
    text = f"{metadata.get('prefix') or ''}{output}{metadata.get('suffix') or ''}"
    if metadata.get("working_dir"):
        text += f"\n[Current working directory: {metadata['working_dir']}]"
    if metadata.get("py_interpreter_path"):
        text += f"\n[Python interpreter: {metadata['py_interpreter_path']}]"
    if metadata.get("exit_code", -1) not in (-1, None):
        text += f"\n[Command finished with exit code {metadata['exit_code']}]"
    return text


def parse_arguments(arguments: JSON) -> Mapping[str, JSON]:
    """Arguments as an object; they come as one, as a JSON string, or as nothing. Else raises ValueError."""
    if isinstance(arguments, str):
        arguments = json.loads(arguments) if arguments.strip() else {}
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise ValueError("arguments are not an object")
    return arguments


def openai_reply(thought: str, tool_calls: Iterable[JSON]) -> Reply:
    """A turn of OpenAI ``tool_calls``. One call that cannot be read spoils the turn: nobody made half of it."""
    calls = []
    for raw in tool_calls:
        function = raw.get("function") or raw
        if not function.get("name"):
            return Reply(thought=thought, problem=BAD_CALL)
        try:
            arguments = parse_arguments(function.get("arguments"))
        except (ValueError, RecursionError):
            return Reply(thought=thought, problem=BAD_ARGUMENTS)
        action = Action(name=function["name"], arguments=arguments)
        calls.append(Call(action=action, call_id=raw.get("id") or raw.get("call_id")))
    return Reply(thought=thought, calls=tuple(calls))


def xml_reply(content: str) -> Reply:
    """A turn with ``<function=name><parameter=key>value</parameter></function>``; values stay strings.

    The thought is what stands before the first call. A call that is not closed, or has something beside its
    parameters, makes the turn unparsable.
    """
    matches = list(_FUNCTION.finditer(content))
    if not matches:
        return Reply(thought=content, problem=BAD_CALL if "<function=" in content else None)
    thought = content[: matches[0].start()]
    calls = []
    for match in matches:
        if "<function=" in match[2] or _PARAMETER.sub("", match[2]).strip():
            return Reply(thought=thought, problem=BAD_CALL)
        arguments = {key: _one_newline_off(value) for key, value in _PARAMETER.findall(match[2])}
        calls.append(Call(action=Action(name=match[1].strip(), arguments=arguments)))
    if "<function=" in content[matches[-1].end() :]:
        return Reply(thought=thought, problem=BAD_CALL)
    return Reply(thought=thought, calls=tuple(calls))


def _one_newline_off(value: str) -> str:
    return value.removeprefix("\n").removesuffix("\n")


def bash(command: str) -> Call:
    """A shell line of a scaffold whose only tool is its shell."""
    return Call(action=Action(name="bash", arguments={"command": command}))


def openai_events(messages: Iterable[Message]) -> Iterator[Event]:
    """OpenAI chat messages with ``tool_calls`` and role ``tool``; calls in the text are read as XML calls."""
    after_text_call = False
    for message in messages:
        role, text = message.get("role"), text_of(message.get("content"))
        if role == "assistant":
            tool_calls = message.get("tool_calls")
            reply = openai_reply(text, tool_calls) if tool_calls else xml_reply(text)
            after_text_call = not tool_calls and bool(reply.calls or reply.problem)
            yield reply
        elif role in ("tool", "function"):
            yield Result(text=without_label(text), call_ids=result_ids(message))
        elif role == "user":
            yield Result(text=without_label(text)) if after_text_call else Said(text=text)
            after_text_call = False


def result_ids(message: Message) -> tuple[str, ...]:
    """Ids that a result answers: ``tool_call_id``, or SWE-agent's ``tool_call_ids``; both may be missing."""
    ids = message.get("tool_call_ids") or [message.get("tool_call_id")]
    return tuple(call_id for call_id in ids if call_id)


def anthropic_events(messages: Iterable[Message]) -> Iterator[Event]:
    """Anthropic Messages: ``tool_use`` blocks, their ``tool_result`` in the next user message."""
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role == "assistant":
            yield anthropic_reply(content)
            yield from _results(content)  # server tools answer inside the assistant message
        elif role == "user":
            yield from _results(content)
            blocks = content if isinstance(content, list) else [content]
            rest = [b for b in blocks if not (isinstance(b, Mapping) and "tool_use_id" in b)]
            if text := text_of(rest if isinstance(content, list) else content):
                yield Said(text=text)


def _results(content: JSON) -> Iterator[Result]:
    for block in content if isinstance(content, list) else []:
        if isinstance(block, Mapping) and "tool_use_id" in block:
            text = text_of(block.get("content"))
            yield Result(text=text, call_ids=(block["tool_use_id"],))


def anthropic_reply(content: JSON) -> Reply:
    """The thought is the text before the first call; thinking blocks are no part of it."""
    blocks = content if isinstance(content, list) else [content] if content else []
    prose: list[JSON] = []
    calls: list[Call] = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, Mapping) else "text"
        if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            if not block.get("name"):
                return Reply(thought=text_of(prose), problem=BAD_CALL)
            try:
                arguments = parse_arguments(block.get("input"))
            except (ValueError, RecursionError):
                return Reply(thought=text_of(prose), problem=BAD_ARGUMENTS)
            calls.append(
                Call(action=Action(name=block["name"], arguments=arguments), call_id=block.get("id"))
            )
        elif not calls and not (isinstance(block, Mapping) and "tool_use_id" in block):
            prose.append(block)
    return Reply(thought=text_of(prose), calls=tuple(calls))
