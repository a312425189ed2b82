"""Replies of mini-swe-agent: the commands that the scaffold took from them, and those that it refused."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trajectories.conversation.events import NO_ACTION, NO_BLOCK, SEVERAL_BLOCKS, Reply
from trajectories.conversation.reasoning import join_reasoning, reasoning_of
from trajectories.readers.chat.exchange import loaded
from trajectories.readers.chat.message_fields import reply_in, split_before_fence
from trajectories.readers.chat.messages import bash, openai_reply, text_of
from trajectories.readers.chat.responses import response_reply
from trajectories.types import JSON, JSONObject


@dataclass(frozen=True, kw_only=True)
class Syntax:
    """How a configuration marks commands: what it is known by, what opens a command, what closes it."""

    mark: str
    opener: re.Pattern[str]
    closer: str


SYNTAXES = (
    Syntax(
        mark="```mswea_bash_command",
        opener=re.compile(r"```mswea_bash_command[ \t\r]*\n"),
        closer="\n```",
    ),
    Syntax(
        mark="<mswea_bash_command>",
        opener=re.compile("<mswea_bash_command>"),
        closer="</mswea_bash_command>",
    ),
    Syntax(mark="<bash_code>", opener=re.compile("<bash_code>"), closer="</bash_code>"),
    Syntax(mark="```bash", opener=re.compile(r"```bash[ \t\r]*\n"), closer="\n```"),
)


def chosen_syntaxes(messages: Sequence[JSONObject], config: JSONObject) -> Sequence[Syntax]:
    """Return the syntax that the configuration's pattern or the prompt names; all of them if neither does."""
    tables = (config.get("model"), config.get("agent"))
    patterns = [table.get("action_regex") for table in tables if isinstance(table, dict)]
    prompts = []
    for message in messages:
        if message.get("role") == "assistant" or message.get("object") == "response":
            break
        prompts.append(text_of(message.get("content")))
    for text in ("\n".join(p for p in patterns if isinstance(p, str)), "\n".join(prompts)):
        if found := [syntax for syntax in SYNTAXES if syntax.mark in text]:
            return found[:1]
    return SYNTAXES


def reply_of(message: JSONObject, extra: JSONObject, syntaxes: Sequence[Syntax] = SYNTAXES) -> Reply:
    """Read the model's own text or tool calls; ``extra.actions`` holds what the scaffold parsed from them."""
    if message.get("object") == "response":
        output = message.get("output")
        return response_reply(output if isinstance(output, list) else [])
    response = extra.get("response")
    content = text_of(message.get("content"))
    reasoning = reasoning_of(message) or reasoning_of(reply_in(response) or {}) or _cut_off(response, content)
    if isinstance(tool_calls := loaded(message.get("tool_calls")), list) and tool_calls:
        return openai_reply(content, tool_calls, reasoning)
    tagged, content = split_before_fence(content)
    return replace(_text_reply(content, extra, syntaxes), reasoning=join_reasoning(reasoning, tagged))


def _cut_off(response: JSON, content: str) -> str:
    """Return the thinking of a response that is kept as its text, of which the content is the visible part."""
    if not isinstance(response, str) or not response.rstrip().endswith(content.strip()):
        return ""
    return split_before_fence(response)[0]


def _text_reply(content: str, extra: JSONObject, syntaxes: Sequence[Syntax]) -> Reply:
    blocks = next((found for syntax in syntaxes if (found := list(_blocks(content, syntax)))), [])
    commands = _commands(extra)
    if len(blocks) == 1 and commands != []:
        start, command = blocks[0]
        return Reply(thought=content[:start], calls=(bash(command),))
    if commands is not None and len(commands) == 1:  # a model with its own pattern
        return Reply(thought=content, calls=(bash(commands[0]),))
    if blocks:
        return Reply(thought=content, problem=SEVERAL_BLOCKS if len(blocks) > 1 else NO_BLOCK)
    return Reply(thought=content, problem=NO_BLOCK if "```" in content else None)


def _commands(extra: JSONObject) -> list[str] | None:
    """Return the commands that the scaffold executed, None where it does not say."""
    actions = extra.get("actions")
    if not isinstance(actions, list):
        return None
    found = [action.get("command") for action in actions if isinstance(action, dict)]
    return [command for command in found if isinstance(command, str)]


def _blocks(content: str, syntax: Syntax) -> Iterator[tuple[int, str]]:
    """Yield where each block begins, and its command."""
    at = 0
    while match := syntax.opener.search(content, at):
        # The line break of the opener may be that of the closer: an empty block.
        begin = match.end() - content.endswith("\n", 0, match.end())
        end = content.find(syntax.closer, begin)
        if end < 0:
            return
        yield match.start(), content[match.end() : max(end, match.end())].strip()
        at = end + len(syntax.closer)


def recorded_reply(extra: JSONObject, syntaxes: Sequence[Syntax]) -> Reply | None:
    """Return the refused reply that only the complaint about it holds, None if it holds none."""
    response, text = extra.get("response"), extra.get("model_response")
    message: JSONObject | None = reply_in(response)
    if isinstance(response, dict) and isinstance(response.get("output"), list):
        message = {**response, "object": "response"}
    elif message is None and isinstance(text, str):
        message = {"content": text}
    if message is None:
        return None
    return refused(reply_of(message, {"response": response}, syntaxes), message)


def refused(reply: Reply, message: JSONObject) -> Reply:
    """Return a reply that the scaffold refused, as a turn without calls: those that it wrote join its text."""
    if not reply.calls and reply.problem in (None, NO_ACTION, NO_BLOCK, SEVERAL_BLOCKS):
        return reply
    calls = [*_native_calls(message)]
    if calls:
        text = "\n".join(part for part in (reply.thought.strip(), *calls) if part)
        return Reply(thought=text, reasoning=reply.reasoning, problem=NO_ACTION)
    _, text = split_before_fence(text_of(message.get("content")))
    return Reply(thought=text, reasoning=reply.reasoning, problem=NO_BLOCK)


def _native_calls(message: JSONObject) -> Iterator[str]:
    """Yield the calls of a chat message or a response as text, as they were written."""
    output, tool_calls = message.get("output"), loaded(message.get("tool_calls"))
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    listed = [item for item in items if str(item.get("type")).endswith("_call")]
    listed += [call for call in tool_calls if isinstance(call, dict)] if isinstance(tool_calls, list) else []
    for call in listed:
        function = call.get("function")
        function = function if isinstance(function, dict) else call
        yield f"{text_of(function.get('name'))}({text_of(function.get('arguments'))})"
