"""Tools by the calls of the data: which there are, and which of them a prompt does not list."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from srl_agent.formats import TOOL_SETS, ActionFormat
from trajectories import Step

AUTO = "auto"  # actions.tools: those that the data calls

Call = tuple[str, tuple[str, ...]]  # a tool, and the names of the arguments that it got, in order
Tools = dict[str, tuple[str, ...]]  # argument names by tool


def calls_of(step: Step) -> tuple[Call, ...]:
    """Return the tools and argument names of a step's calls."""
    return tuple((action.name, tuple(action.arguments)) for action in step.actions)


def tools_in(turns: Iterable[tuple[Sequence[Call], int]]) -> Tools:
    """Return the tools that turns call, which come with their counts; the most frequent first.

    >>> tools_in([([("edit", ("path", "text"))], 2), ([("bash", ("command",))], 5), ([("edit", ("path",))], 1)])
    {'bash': ('command',), 'edit': ('path', 'text')}
    """
    tools: Counter[str] = Counter()
    arguments: dict[str, Counter[str]] = {}
    for turn, count in turns:
        for name, given in turn:
            tools[name] += count
            arguments.setdefault(name, Counter()).update(dict.fromkeys(given, count))
    return {name: tuple(one for one, _ in arguments[name].most_common()) for name, _ in tools.most_common()}


def set_of(tools: Tools) -> str | Tools:
    """Return the name of the built-in set that has just these tools with all their arguments; else the tools.

    With a built-in set the prompts are those of an evaluation that names it.

    >>> set_of({"bash": ("command",)}), set_of({"bash": ("restart",)})
    ('bash', {'bash': ('restart',)})
    """
    for name, listed in TOOL_SETS.items():
        if listed.keys() == tools.keys() and all(set(tools[tool]) <= set(listed[tool]) for tool in tools):
            return name
    return tools


def with_tools(action_format: ActionFormat, tools: str | Tools) -> ActionFormat:
    """Return the format with the tools of :func:`set_of` in its prompts."""
    return replace(action_format, tools=TOOL_SETS[tools] if isinstance(tools, str) else tools)


def lists_tools(action_format: ActionFormat) -> bool:
    """Return whether prompts of the format say which tools there are, as those of a fixed action do not."""
    instructions = action_format.syntax.instructions
    return instructions({}) != instructions({"tool": ("argument",)})


@dataclass(kw_only=True)
class Unlisted:
    """Turns that call what a list of tools does not have."""

    turns: int = 0  # all that were looked at
    wrong: int = 0
    by_call: Counter[str] = field(default_factory=Counter)  # turns by "tool", or "tool(argument)"
    first: dict[str, int] = field(default_factory=dict)  # the position of the first one


def unlisted_calls(turns: Iterable[Sequence[Call]], tools: Mapping[str, Sequence[str]]) -> Unlisted:
    """Count the turns with a call of a tool, or with an argument, that ``tools`` does not list.

    >>> turns = [[("bash", ("command",))], [("bash", ("restart",))], [("think", ())]]
    >>> found = unlisted_calls(turns, {"bash": ["command"]})
    >>> found.wrong, dict(found.by_call), found.first
    (2, {'bash(restart)': 1, 'think': 1}, {'bash(restart)': 1, 'think': 2})
    """
    found = Unlisted()
    for position, turn in enumerate(turns):
        found.turns += 1
        names: set[str] = set()
        for name, given in turn:
            if name in tools:
                names |= {f"{name}({one})" for one in given if one not in tools[name]}
            else:
                names.add(name)
        found.wrong += bool(names)
        found.by_call.update(names)
        for name in names:
            found.first.setdefault(name, position)
    return found
