"""Tool calls as JSON between ``<tool_call>`` tags, as in Qwen's chat templates."""

import json
import re
from collections.abc import Mapping, Sequence

from srl_agent.formats.base import FormatError, UnrepresentableActionError, describe_tools
from srl_agent.formats.json_values import read_json
from trajectories import Action
from trajectories.schema_check import MAX_DEPTH

_BLOCK = re.compile(r"\s*<tool_call>(.*?)</tool_call>", re.DOTALL)
_TAG = re.compile(r"</?(?:think|tool_call)>")
_SURROGATE = re.compile("[\ud800-\udfff]")


class HermesSyntax:
    """``<tool_call>\\n{"name": …, "arguments": {…}}\\n</tool_call>``, one block per call."""

    name = "hermes"

    def instructions(self, tools: Mapping[str, Sequence[str]]) -> str:
        return (
            "An action is a tool call in this form:\n"
            '<tool_call>\n{"name": "TOOL", "arguments": {"ARGUMENT": value}}\n</tool_call>\n\n'
            f"Tools:\n{describe_tools(tools)}"
        )

    def render(self, actions: Sequence[Action]) -> str:
        if not actions:
            raise UnrepresentableActionError("no action")
        return "\n".join(f"<tool_call>\n{_dump(action)}\n</tool_call>" for action in actions)

    def parse(self, text: str) -> tuple[Action, ...]:
        actions, position = [], 0
        while position < len(text.rstrip()):
            block = _BLOCK.match(text, position)
            if block is None:
                raise FormatError(f"expected a <tool_call>, found {text[position:].strip()[:40]!r}")
            actions.append(_load(block[1]))
            position = block.end()
        if not actions:
            raise FormatError("no <tool_call>")
        return tuple(actions)


def _dump(action: Action) -> str:
    call = {"name": action.name, "arguments": dict(action.arguments)}
    text = json.dumps(call, ensure_ascii=False)
    if _SURROGATE.search(text):
        text = json.dumps(call)  # lone surrogates cannot be tokenized: escape them
    return text.replace("<", "\\u003c") if _TAG.search(text) else text


def _load(text: str) -> Action:
    try:
        call = read_json(text, depth=MAX_DEPTH + 1)
    except ValueError as error:
        raise FormatError(f"<tool_call> does not hold JSON: {error}") from error
    if not isinstance(call, dict) or call.keys() != {"name", "arguments"}:
        raise FormatError('<tool_call> must hold exactly {"name", "arguments"}')
    if not isinstance(call["name"], str) or not isinstance(call["arguments"], dict):
        raise FormatError("the name of a call must be text and its arguments an object")
    return Action(name=call["name"], arguments=call["arguments"])
