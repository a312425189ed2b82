"""Action formats: how thoughts and actions are written in prompts, targets and completions."""

from collections.abc import Mapping, Sequence

from srl_agent.formats.base import (
    TOOL_SETS,
    ActionFormat,
    ActionSyntax,
    FormatError,
    Message,
    Span,
    UnrepresentableActionError,
    prose,
    thinking,
    without_thinking,
)
from srl_agent.formats.bash_block import BashBlockSyntax
from srl_agent.formats.hermes import HermesSyntax
from srl_agent.formats.json_values import read_json
from srl_agent.formats.math_step import MathStepFormat, MathStepSyntax
from srl_agent.formats.xml import XmlSyntax
from srl_agent.plugins import load_named

SYNTAXES: Mapping[str, type[ActionSyntax]] = {
    "xml": XmlSyntax,
    "hermes": HermesSyntax,
    "bash-block": BashBlockSyntax,
    "math-step": MathStepSyntax,
}
_FORMATS: Mapping[str, type[ActionFormat]] = {"math-step": MathStepFormat}  # those with their own prompts


def get_format(
    name: str, tools: str | Mapping[str, Sequence[str]] = "swe-agent", *, thinks: bool = True
) -> ActionFormat:
    """Return an action format by the name of its syntax, or by ``package.module:Class``.

    ``tools`` names one of TOOL_SETS or is a mapping of argument names by tool. ``thinks``: whether a completion begins
    with a thought. Raises PluginError.
    """
    syntax = load_named(name, SYNTAXES, kind="action format")
    named_tools = load_named(tools, TOOL_SETS, kind="tool set") if isinstance(tools, str) else tools
    return _FORMATS.get(name, ActionFormat)(syntax=syntax(), tools=named_tools, thinks=thinks)


__all__ = [
    "SYNTAXES", "TOOL_SETS", "ActionFormat", "ActionSyntax", "FormatError", "Message", "Span",
    "UnrepresentableActionError", "get_format", "prose", "read_json", "thinking", "without_thinking",
]  # fmt: skip
