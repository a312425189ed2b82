"""Function and parameter tags, as SWE-smith writes them."""

import json
import re
from collections.abc import Mapping, Sequence

from srl_agent.formats.base import FormatError, UnrepresentableActionError, describe_tools
from srl_agent.formats.json_values import read_json
from trajectories import Action
from trajectories.schema_check import MAX_DEPTH
from trajectories.types import JSON

# Parameters whose values are written on separate lines (SWE-smith's convention).
_BLOCK_PARAMETERS = frozenset({"old_str", "new_str", "file_text"})
# Parameters whose values are read as JSON if they are valid JSON; every other value is the text itself.
_JSON_PARAMETERS = frozenset({"view_range", "insert_line", "replace_all", "timeout", "offset", "limit"})

_DEPTH = MAX_DEPTH - 1  # of a value: the arguments are an object around it

_NAME = r"[^\s<>=]+"
_WHOLE_NAME = re.compile(_NAME)
_FUNCTION = re.compile(rf"\s*<function=({_NAME})>")
_PARAMETER = re.compile(rf"\s*<parameter=({_NAME})( json)?>(.*?)</parameter>", re.DOTALL)
_END = re.compile(r"\s*</function>")
_TAG = re.compile(r"</?(?:think|parameter|function)\b")


class XmlSyntax:
    """``<function=NAME>``, one ``<parameter=NAME>value</parameter>`` per line, ``</function>``.

    A value that would not be read back unchanged (because it holds a closing tag, or is a number where text is
    expected) is written as JSON and its tag marked: ``<parameter=NAME json>``.
    """

    name = "xml"

    def instructions(self, tools: Mapping[str, Sequence[str]]) -> str:
        return (
            "An action is a tool call in this form:\n"
            "<function=TOOL>\n<parameter=ARGUMENT>value</parameter>\n</function>\n\n"
            f"Tools:\n{describe_tools(tools)}"
        )

    def render(self, actions: Sequence[Action]) -> str:
        if not actions:
            raise UnrepresentableActionError("no action")
        return "\n".join(_render_action(action) for action in actions)

    def parse(self, text: str) -> tuple[Action, ...]:
        actions, position = [], 0
        while position < len(text.rstrip()):
            action, position = _parse_action(text, position)
            actions.append(action)
        if not actions:
            raise FormatError("no <function=…> call")
        return tuple(actions)


def _render_action(action: Action) -> str:
    for name in (action.name, *action.arguments):
        if not _WHOLE_NAME.fullmatch(name):
            raise UnrepresentableActionError(f"xml: {name!r} cannot be the name of a tool or argument")
    lines = [f"<function={action.name}>"]
    lines += [_render_parameter(name, value) for name, value in action.arguments.items()]
    return "\n".join([*lines, "</function>"])


def _render_parameter(name: str, value: JSON) -> str:
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    candidates = [plain, f"\n{plain}\n"]
    if name in _BLOCK_PARAMETERS:
        candidates.reverse()
    for text in candidates:
        if not _TAG.search(text) and _same(_read(name, text), value):
            return f"<parameter={name}>{text}</parameter>"
    # Non-ASCII and "<" are escaped: whatever the value holds, the text is one line without a tag.
    escaped = json.dumps(value).replace("<", "\\u003c")
    return f"<parameter={name} json>{escaped}</parameter>"


def _read(name: str, text: str) -> JSON:
    if text.startswith("\n"):
        text = text[1:]
    if text.endswith("\n"):
        text = text[:-1]
    if name in _JSON_PARAMETERS:
        try:
            return read_json(text, depth=_DEPTH)
        except ValueError:
            return text
    return text


def _same(left: JSON, right: JSON) -> bool:
    """Return whether values are equal, where 1, True and 1.0 differ."""
    if isinstance(left, str):  # nearly every value
        return bool(left == right)
    return type(left) is type(right) and json.dumps(left) == json.dumps(right)


def _parse_action(text: str, position: int) -> tuple[Action, int]:
    start = _FUNCTION.match(text, position)
    if start is None:
        raise FormatError(f"expected a <function=…> call, found {text[position:].strip()[:40]!r}")
    arguments: dict[str, JSON] = {}
    position = start.end()
    while parameter := _PARAMETER.match(text, position):
        name, marked, value = parameter.groups()
        if name in arguments:
            raise FormatError(f"argument {name!r} given twice")
        try:
            arguments[name] = read_json(value, depth=_DEPTH) if marked else _read(name, value)
        except ValueError as error:
            raise FormatError(f"argument {name!r} is marked as JSON and is not: {error}") from error
        position = parameter.end()
    end = _END.match(text, position)
    if end is None:
        raise FormatError(f"<function={start[1]}> is not closed")
    return Action(name=start[1], arguments=arguments), end.end()
