"""Shared by the chat formats: texts of messages, calls in OpenAI's, Anthropic's and textual forms."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from trajectories.readers.events import Call, Event, Reply, Result, UserMessage
from trajectories.types import JSON, Action, JSONObject

BAD_ARGUMENTS = "arguments_not_an_object"
BAD_CALL = "unparsable_call"

_FUNCTION = re.compile(r"<function=([^>\n]+)>\n?(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>(.*?)</parameter>", re.DOTALL)
_LABEL = re.compile(r"\A(?:OBSERVATION:\n|EXECUTION RESULT of \[[^\]\n]*\]:\n)")


def text_of(content: JSON) -> str:
    """Return the text of a message's content: a string, null, or a list of blocks (strings or ``{type, text}``).

    Thinking blocks are skipped; images and other blocks become ``[type]``.
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
    """Return an observation without its scaffold's heading (``OBSERVATION:``, ``EXECUTION RESULT of [tool]:``)."""
    return _LABEL.sub("", text, count=1)


def shell_text(output: str, metadata: JSON) -> str:
    """Return a command's result as OpenHands shows it to the model: output, working directory, exit code.

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


def parse_arguments(arguments: JSON) -> JSONObject:
    """Return arguments that come as an object, as a JSON string, or as nothing. Raises ValueError for others."""
    if isinstance(arguments, str):
        arguments = json.loads(arguments) if arguments.strip() else {}
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise ValueError("arguments are not an object")
    return arguments


def make_reply(thought: str, calls: Iterable[tuple[JSON, JSON, JSON]]) -> Reply:
    """Make a turn of calls, each (name, arguments, id). One unreadable call makes the whole turn unusable."""
    made = []
    for name, raw_arguments, call_id in calls:
        if not name:
            return Reply(thought=thought, problem=BAD_CALL)
        try:
            arguments = parse_arguments(raw_arguments)
        except (ValueError, RecursionError):
            return Reply(thought=thought, problem=BAD_ARGUMENTS)
        made.append(Call(action=Action(name=name, arguments=arguments), call_id=call_id))
    return Reply(thought=thought, calls=tuple(made))


def openai_reply(thought: str, tool_calls: Iterable[JSON]) -> Reply:
    """Make a turn of OpenAI ``tool_calls``, with or without ``function``."""
    pairs = ((raw, raw.get("function") or raw) for raw in tool_calls)
    calls = ((of.get("name"), of.get("arguments"), raw.get("id") or raw.get("call_id")) for raw, of in pairs)
    return make_reply(thought, calls)


def xml_reply(content: str) -> Reply:
    """Parse a turn with ``<function=name><parameter=key>value</parameter></function>``; values stay strings.

    The thought is the text before the first call. An unclosed call, or one with anything beside its parameters, makes
    the turn unparsable.
    """
    matches = list(_FUNCTION.finditer(content))
    if not matches:
        return Reply(thought=content, problem=BAD_CALL if "<function=" in content else None)
    thought = content[: matches[0].start()]
    calls = []
    for match in matches:
        if "<function=" in match[2] or _PARAMETER.sub("", match[2]).strip():
            return Reply(thought=thought, problem=BAD_CALL)
        found = _PARAMETER.findall(match[2])
        arguments = {key: value.removeprefix("\n").removesuffix("\n") for key, value in found}
        calls.append(Call(action=Action(name=match[1].strip(), arguments=arguments)))
    if "<function=" in content[matches[-1].end() :]:
        return Reply(thought=thought, problem=BAD_CALL)
    return Reply(thought=thought, calls=tuple(calls))


def bash(command: str) -> Call:
    """Return the call of a shell line, for a scaffold whose only tool is its shell."""
    return Call(action=Action(name="bash", arguments={"command": command}))


def openai_events(messages: Iterable[JSONObject]) -> Iterator[Event]:
    """Read OpenAI chat messages with ``tool_calls`` and role ``tool``; calls in the text are read as XML calls."""
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
            yield Result(text=without_label(text)) if after_text_call else UserMessage(text=text)
            after_text_call = False


def result_ids(message: JSONObject) -> tuple[str, ...]:
    """Return the ids that a result answers: ``tool_call_id``, or SWE-agent's ``tool_call_ids``; both are optional."""
    ids = message.get("tool_call_ids") or [message.get("tool_call_id")]
    return tuple(call_id for call_id in ids if call_id)


def anthropic_events(messages: Iterable[JSONObject]) -> Iterator[Event]:
    """Read Anthropic Messages: ``tool_use`` blocks, their ``tool_result`` in the next user message."""
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role == "assistant":
            yield anthropic_reply(content)
            yield from _results(content)  # server tools answer inside the assistant message
        elif role == "user":
            yield from _results(content)
            if isinstance(content, list):
                content = [block for block in content if not _is_result(block)]
            if text := text_of(content):
                yield UserMessage(text=text)


def _is_result(block: JSON) -> bool:
    return isinstance(block, Mapping) and "tool_use_id" in block


def _results(content: JSON) -> Iterator[Result]:
    for block in content if isinstance(content, list) else []:
        if _is_result(block):
            yield Result(text=text_of(block.get("content")), call_ids=(block["tool_use_id"],))


def anthropic_reply(content: JSON) -> Reply:
    """Make a turn of content blocks. The thought is the text before the first call, without thinking blocks."""
    blocks = content if isinstance(content, list) else [content] if content else []
    prose: list[JSON] = []
    calls: list[tuple[JSON, JSON, JSON]] = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, Mapping) else "text"
        if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            calls.append((block.get("name"), block.get("input"), block.get("id")))
        elif not calls and not _is_result(block):
            prose.append(block)
    return make_reply(text_of(prose), calls)
