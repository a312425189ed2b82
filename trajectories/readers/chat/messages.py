"""Shared by the chat formats: texts of messages, calls in OpenAI's, Anthropic's and SWE-agent's textual form."""

import json
import re
from collections.abc import Iterable, Iterator

from trajectories.conversation.events import Call, Reply, Result
from trajectories.conversation.reasoning import THINKING_BLOCKS, join_reasoning, split_thinking, thinking_in
from trajectories.readers.chat.result_blocks import is_result_block, result_text
from trajectories.types import JSON, Action, JSONObject
from trajectories.vocabulary import kind_of

BAD_ARGUMENTS = "arguments_not_an_object"
BAD_CALL = "unparsable_call"

_ARGUMENTS = ("arguments", "args", "input", "parameters")  # OpenAI's name, LangChain's, Anthropic's, Llama's

CALL_BLOCKS = ("tool_use", "server_tool_use", "mcp_tool_use")  # Anthropic's types

FUNCTION = "<function="
_FUNCTION_END = "</function>"
_PARAMETER_END = "</parameter>"
_WRAPPER, _WRAPPER_END = "<tool_call>", "</tool_call>"
_FUNCTION_HEAD = re.compile(r"<function=([^<>\n]+)>\n?")
_PARAMETER_HEAD = re.compile(r"<parameter=([^<>\n]+)>")
# A slip of some models, which OpenHands corrects: <parameter=name=value</parameter>.
_PARAMETER_SLIP = re.compile(r"<parameter=(\w+)=([^<]*)</parameter>", re.ASCII)
_LABEL = re.compile(r"\A(?:OBSERVATION:\n|EXECUTION RESULT of \[[^\]\n]*\]:\n)")


def text_of(content: JSON) -> str:
    """Return the text of a message's content: a string, null, or a list of blocks (strings or ``{type, text}``).

    Thinking blocks are skipped; images and other blocks become ``[type]``, any other value its JSON.
    """
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else [content]
    return "\n".join(piece for block in blocks if (piece := _block_text(block)))


def _block_text(block: JSON) -> str:
    if block is None or isinstance(block, str):
        return block or ""
    if isinstance(block, list):
        return text_of(block)
    if not isinstance(block, dict):
        return json.dumps(block)
    kind = block.get("type", "text")
    if kind in THINKING_BLOCKS or kind in CALL_BLOCKS:
        return ""
    if is_result_block(kind):
        return result_text(block)
    if isinstance(block.get("text"), str):
        return str(block["text"])
    if isinstance(block.get("content"), str | list):
        return text_of(block["content"])
    return f"[{kind}]" if "type" in block else json.dumps(block, ensure_ascii=False)


def without_label(text: str) -> str:
    """Return an observation without its scaffold's heading (``OBSERVATION:``, ``EXECUTION RESULT of [tool]:``)."""
    return _LABEL.sub("", text, count=1)


def shell_text(output: str, metadata: JSON) -> str:
    """Return a command's result as OpenHands shows it to the model: output, working directory, exit code.

    >>> shell_text("a.py", {"suffix": "\\n[The command completed with exit code 0.]", "exit_code": 0})
    'a.py\\n[The command completed with exit code 0.]\\n[Command finished with exit code 0]'
    """
    if not isinstance(metadata, dict):
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
    for _ in range(2):  # some programs encode them twice
        if isinstance(arguments, str):
            arguments = json.loads(arguments) if arguments.strip() else {}
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise ValueError("arguments are not an object")
    return arguments


def make_reply(thought: str, calls: Iterable[tuple[JSON, JSON, JSON]], reasoning: str = "") -> Reply:
    """Make a turn of calls, each (name, arguments, id). One unreadable call makes the whole turn unusable.

    A call that is listed twice under one id is one call. Tagged thinking in ``thought`` joins the reasoning.
    """
    tagged, thought = split_thinking(thought)
    if tagged or reasoning:
        reasoning = join_reasoning(reasoning, tagged)
    made: list[Call] = []
    by_id: dict[str, Call] = {}
    for name, raw_arguments, call_id in calls:
        if not name or not isinstance(name, str):
            return Reply(thought=thought, reasoning=reasoning, problem=BAD_CALL)
        try:
            arguments = raw_arguments if isinstance(raw_arguments, dict) else parse_arguments(raw_arguments)
        except (ValueError, RecursionError):
            return Reply(thought=thought, reasoning=reasoning, problem=BAD_ARGUMENTS)
        known = as_id(call_id)
        call = Call(action=Action(name=name, arguments=arguments), call_id=known)
        if known is None or known not in by_id or by_id[known] != call:
            made.append(call)
        if known is not None:
            by_id[known] = call
    return Reply(thought=thought, calls=tuple(made), reasoning=reasoning)


def openai_reply(thought: str, tool_calls: Iterable[JSON], reasoning: str = "") -> Reply:
    """Make a turn of OpenAI ``tool_calls``, with or without ``function``, or of the same under other names."""
    return make_reply(thought, map(_listed_call, tool_calls), reasoning)


def _listed_call(raw: JSON) -> tuple[JSON, JSON, JSON]:
    """Return name, arguments and id. The one argument of a custom tool is a text."""
    if not isinstance(raw, dict):
        return None, None, None
    call_id = raw.get("id") or raw.get("call_id")
    custom = raw.get("custom")
    if isinstance(custom, dict):
        return custom.get("name"), {"input": custom.get("input")}, call_id
    inner = raw.get("function") or raw
    if not isinstance(inner, dict):  # the name, with the arguments beside it
        return inner, arguments_at(raw), call_id
    arguments = arguments_at(inner)
    return inner.get("name"), arguments_at(raw) if arguments is None else arguments, call_id


def arguments_at(call: JSONObject) -> JSON:
    """Return the arguments of a call, under the first name for them that holds any; None for none.

    >>> arguments_at({"name": "bash", "args": {"command": "ls"}})
    {'command': 'ls'}
    """
    return next((call[key] for key in _ARGUMENTS if call.get(key) is not None), None)


def xml_reply(content: str, reasoning: str = "") -> Reply:
    """Parse a turn with ``<function=name><parameter=key>value</parameter></function>``; values stay strings.

    The thought is the text before the first call; Qwen's ``<tool_call>`` around each is no text. A call with anything
    beside its parameters makes the turn unparsable. So does one that is not closed, unless it is the only one and ends
    the reply with a closed parameter: a server that stops at ``</function`` cuts it so.
    """
    tagged, content = split_thinking(content)
    reasoning = join_reasoning(reasoning, tagged)
    first = head = _FUNCTION_HEAD.search(content)
    if first is None:
        problem = BAD_CALL if FUNCTION in content else None
        return Reply(thought=content, reasoning=reasoning, problem=problem)
    thought = content[: first.start()].rstrip().removesuffix(_WRAPPER)
    calls: list[Call] = []
    end = first.start()
    while head:
        close = content.find(_FUNCTION_END, head.end())
        body = content[head.end() : close] if close >= 0 else _cut_call(content, head)
        arguments = None if body is None else _parameters(body)
        if arguments is None:
            return Reply(thought=thought, reasoning=reasoning, problem=BAD_CALL)
        calls.append(Call(action=Action(name=head[1].strip(), arguments=arguments)))
        end = close + len(_FUNCTION_END) if close >= 0 else len(content)
        head = _FUNCTION_HEAD.search(content, end)
    if FUNCTION in content[end:]:
        return Reply(thought=thought, reasoning=reasoning, problem=BAD_CALL)
    return Reply(thought=thought, calls=tuple(calls), reasoning=reasoning)


def _cut_call(content: str, head: re.Match[str]) -> str | None:
    """Return the body of a call whose closing tag is missing at the end of the reply, None for a truncated one."""
    if content.count(FUNCTION) != 1:
        return None
    body = content[head.end() :].rstrip().removesuffix(_WRAPPER_END).rstrip()
    rest = body[body.rfind("<") :] if "<" in body else ""
    marked = len(rest) > 1 and _FUNCTION_END.startswith(rest)
    body = body.removesuffix(rest).rstrip() if marked else body
    # Without a parameter it is the end of a run, or what is missing is unknown.
    whole = body.endswith(_PARAMETER_END) or (not body and (marked or kind_of(head[1].strip()) == "submit"))
    return body if whole else None


def _parameters(body: str) -> dict[str, JSON] | None:
    """Return the parameters of a call's body, None if it holds anything else."""
    found: dict[str, JSON] = {}
    if FUNCTION in body:
        return None
    at = 0
    while start := body.find("<parameter=", at) + 1:
        if body[at : start - 1].strip():
            return None
        head = _PARAMETER_HEAD.match(body, start - 1)
        if head is None:
            head = _PARAMETER_SLIP.match(body, start - 1)
            if head is None:
                return None
            key, value, at = head[1], head[2], head.end()
        else:
            close = body.find(_PARAMETER_END, head.end())
            if close < 0:
                return None
            key, value, at = head[1], body[head.end() : close], close + len(_PARAMETER_END)
        found[key.strip()] = value.removeprefix("\n").removesuffix("\n")
    return None if body[at:].strip() else found


def bash(command: str) -> Call:
    """Return the call of a shell line, for a scaffold whose only tool is its shell."""
    return Call(action=Action(name="bash", arguments={"command": command}))


def result_ids(message: JSONObject) -> tuple[str, ...]:
    """Return the ids that a result answers: ``tool_call_id``, or SWE-agent's ``tool_call_ids``; both are optional."""
    ids = message.get("tool_call_ids")
    ids = ids if isinstance(ids, list) and ids else [message.get("tool_call_id")]
    return tuple(call_id for each in ids if (call_id := as_id(each)))


def as_id(value: JSON) -> str | None:
    """Return a call's id, which some programs write as a number; None for an empty one or any other value."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def is_tool_result(block: JSON) -> bool:
    """Return whether a block of Anthropic's answers a call, also one of the server's own tools."""
    return isinstance(block, dict) and block.get("tool_use_id") is not None


def results_in(content: JSON) -> Iterator[Result]:
    """Yield the results in a message's content, of the user's tools and of the server's."""
    for block in content if isinstance(content, list) else []:
        if is_tool_result(block):
            call_id = as_id(block["tool_use_id"])
            yield Result(text=text_of(block.get("content")), call_ids=(call_id,) if call_id else ())


def anthropic_reply(content: JSON, reasoning: str = "") -> Reply:
    """Make a turn of content blocks. The thought is the text before the first call, without thinking blocks."""
    blocks = content if isinstance(content, list) else [content] if content else []
    prose: list[JSON] = []
    calls: list[tuple[JSON, JSON, JSON]] = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else "text"
        if kind in CALL_BLOCKS:
            calls.append((block.get("name"), block.get("input"), block.get("id")))
        elif not calls and not is_tool_result(block):
            prose.append(block)
    return make_reply(text_of(prose), calls, join_reasoning(reasoning, thinking_in(content)))
