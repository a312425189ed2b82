"""One vocabulary for the tools of all scaffolds.

Only this module maps tools to kinds. :func:`canonical` maps a call to its kind, with arguments of one naming;
:func:`original` is its exact inverse, except for the order of arguments.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trajectories.types import JSON, Action, JSONObject

# Kind -> names of its arguments; each may be absent.
KINDS: Mapping[str, tuple[str, ...]] = {
    "run": ("command", "code"),
    "view": ("path", "start", "end", "files", "url"),  # lines from 1, both included; end -1: to the last
    "create": ("path", "text"),
    "replace": ("path", "old", "new", "all", "start", "end", "edits"),
    "insert": ("path", "line", "text"),
    "patch": ("patch",),
    "undo": ("path",),
    "search": ("pattern", "path"),
    "plan": ("items", "plan"),
    "delegate": ("prompt",),
    "think": ("thought",),
    "solve": ("title", "text"),  # a step of a written solution
    "submit": ("message",),
}
SHELLS = frozenset({"bash", "Bash", "execute_bash", "terminal", "shell", "local_shell", "run", "exec"})
EDITORS = frozenset({"str_replace_editor", "str_replace_based_edit_tool", "file_editor"})


@dataclass(frozen=True, kw_only=True)
class Canonical:
    """A call in the common vocabulary."""

    kind: str  # one of KINDS
    arguments: JSONObject  # by the names of the kind
    tool: str  # as the source calls it
    # Of an editor; or the first word of a shell line that is a tool of its scaffold.
    command: str | None = None
    # Arguments that the kind has no name for, and nulls.
    rest: JSONObject = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Rule:
    kind: str
    names: Mapping[str, str] = field(default_factory=dict)  # of the source -> of the kind; no two the same
    span: str | None = None  # how lines are given: view_range or offset_limit


def _rule(kind: str, *same: str, span: str | None = None, **names: str) -> _Rule:
    return _Rule(kind=kind, names={name: name for name in same} | names, span=span)


# An editor's commands: Anthropic's, SWE-agent's and OpenHands' are the same.
_EDITOR: Mapping[str, _Rule] = {
    "view": _rule("view", "path", span="view_range"),
    "create": _rule("create", "path", file_text="text"),
    "str_replace": _rule("replace", "path", old_str="old", new_str="new"),
    "insert": _rule("insert", "path", insert_line="line", new_str="text"),
    "undo_edit": _rule("undo", "path"),
}
_TOOLS: Mapping[str, _Rule] = {
    **{name: _rule("run", "command") for name in SHELLS},
    "run_ipython": _rule("run", "code"),
    # Claude Code
    "Read": _rule("view", file_path="path", span="offset_limit"),
    "Write": _rule("create", file_path="path", content="text"),
    "Edit": _rule("replace", file_path="path", old_string="old", new_string="new", replace_all="all"),
    "MultiEdit": _rule("replace", "edits", file_path="path"),
    "NotebookEdit": _rule("replace", notebook_path="path", new_source="new"),
    "Grep": _rule("search", "pattern", "path"),
    "Glob": _rule("search", "pattern", "path"),
    "LS": _rule("search", "path"),
    "WebSearch": _rule("search", query="pattern"),
    "WebFetch": _rule("view", "url"),
    "TodoWrite": _rule("plan", todos="items"),
    "ExitPlanMode": _rule("plan", "plan"),
    **dict.fromkeys(("TaskCreate", "TaskUpdate", "TaskList", "TaskGet"), _rule("plan")),
    "Task": _rule("delegate", "prompt"),
    "Agent": _rule("delegate", "prompt"),
    # OpenHands
    "read": _rule("view", "path", "start", "end"),
    "write": _rule("create", "path", content="text"),
    "edit": _rule("replace", "path", "start", "end", content="new"),
    "task_tracker": _rule("plan", task_list="items"),
    "think": _rule("think", "thought"),
    "finish": _rule("submit", "message"),
    # SWE-agent
    "open": _rule("view", "path", line_number="start"),
    "goto": _rule("view", line_number="start"),
    "scroll_up": _rule("view"),
    "scroll_down": _rule("view"),
    "create": _rule("create", filename="path"),
    "insert": _rule("insert", "text", "line"),
    "find_file": _rule("search", file_name="pattern", dir="path"),
    "search_file": _rule("search", search_term="pattern", file="path"),
    "search_dir": _rule("search", search_term="pattern", dir="path"),
    "submit": _rule("submit"),
    # Moatless
    "ViewCode": _rule("view", "files"),
    "SemanticSearch": _rule("search", query="pattern", file_pattern="path"),
    "FindClass": _rule("search", class_name="pattern", file_pattern="path"),
    "FindFunction": _rule("search", function_name="pattern", file_pattern="path"),
    "FindCodeSnippet": _rule("search", code_snippet="pattern", file_pattern="path"),
    "Finish": _rule("submit", finish_reason="message"),
    # Codex
    "exec_command": _rule("run", cmd="command"),
    "update_plan": _rule("plan", plan="items"),
    # Gemini CLI and Qwen Code
    "run_shell_command": _rule("run", "command"),
    "read_file": _rule("view", file_path="path", span="offset_limit"),
    "write_file": _rule("create", file_path="path", content="text"),
    "replace": _rule("replace", file_path="path", old_string="old", new_string="new"),
    "search_file_content": _rule("search", "pattern", "path"),
    "grep_search": _rule("search", "pattern", "path"),
    "list_directory": _rule("search", "path"),
    "google_web_search": _rule("search", query="pattern"),
    "write_todos": _rule("plan", todos="items"),
    # Pi and opencode
    "grep": _rule("search", "pattern", "path"),
    "find": _rule("search", "pattern", "path"),
    "list": _rule("search", "path"),
    # TRAE, Codex, and our own steps of solutions
    "task_done": _rule("submit", "message"),
    "sequentialthinking": _rule("think", "thought"),
    "todo_write": _rule("plan", todos="items"),
    "apply_patch": _rule("patch", input="patch"),
    "step": _rule("solve", "title", "text"),
}
_LOWER = {name.lower(): rule for name, rule in reversed(list(_TOOLS.items()))}


def canonical(action: Action) -> Canonical | None:
    """Return the call in the common vocabulary, None for a tool that has no kind.

    >>> canonical(Action(name="Read", arguments={"file_path": "/a.py", "offset": 10, "limit": 5})).arguments
    {'path': '/a.py', 'start': 10, 'end': 14}
    """
    if (line := _shell_tool(action)) is not None:
        return line
    command = action.arguments.get("command")
    rule = _find(action.name, command)
    if rule is None:
        return None
    arguments = dict(action.arguments)
    is_editor = isinstance(command, str) and _EDITOR.get(command) is rule
    if is_editor:
        del arguments["command"]
    found: dict[str, JSON] = {}
    rest: dict[str, JSON] = {}
    for name, value in arguments.items():
        target = rule.names.get(name)
        if target is None or value is None:
            rest[name] = value
        else:
            found[target] = value
    if rule.span:
        found |= _SPANS[rule.span][0](rest)
    command = command if is_editor else None
    return Canonical(kind=rule.kind, arguments=found, tool=action.name, command=command, rest=rest)


def kind_of(tool: str) -> str | None:
    """Return the kind of a tool that its name alone determines; an editor's depends on its command."""
    rule = _find(tool, None)
    return rule.kind if rule else None


def original(call: Canonical) -> Action:
    """Return the call as its source made it. Raises ValueError for a call that :func:`canonical` never returns."""
    if call.tool in SHELLS and call.command is not None:
        return Action(name=call.tool, arguments={"command": _write_line(call)})
    rule = _find(call.tool, call.command)
    if rule is None or rule.kind != call.kind:
        raise ValueError(f"the tool {call.tool} {call.command or ''} makes no call of the kind {call.kind}")
    names = {target: name for name, target in rule.names.items()}
    arguments: dict[str, JSON] = {} if call.command is None else {"command": call.command}
    arguments |= {names[target]: value for target, value in call.arguments.items() if target in names}
    if rule.span:
        arguments |= _SPANS[rule.span][1](call.arguments)
    return Action(name=call.tool, arguments={**arguments, **call.rest})


def _find(tool: str, command: JSON) -> _Rule | None:
    """Return the rule of a tool. OpenHands V0 stores calls of its editor as ``read`` and ``edit``, with a command."""
    if tool in EDITORS or (tool in ("read", "edit") and command is not None):
        return _EDITOR.get(command) if isinstance(command, str) else None
    return _TOOLS.get(tool) or _LOWER.get(tool.lower())


def _is_line(value: JSON) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _from_view_range(rest: dict[str, JSON]) -> dict[str, JSON]:
    value = rest.get("view_range")
    if isinstance(value, list) and len(value) == 2 and all(map(_is_line, value)):
        del rest["view_range"]
        return {"start": value[0], "end": value[1]}
    return {}


def _to_view_range(arguments: JSONObject) -> dict[str, JSON]:
    return {"view_range": [arguments["start"], arguments["end"]]} if "start" in arguments else {}


def _from_offset_limit(rest: dict[str, JSON]) -> dict[str, JSON]:
    """Take the lines from an offset, line 1 without one, and a limit."""
    if not all(_is_line(rest[name]) for name in ("offset", "limit") if name in rest):
        return {}
    first = rest.pop("offset", None)
    count = rest.pop("limit", None)
    found = {} if first is None else {"start": first}
    return found if count is None else found | {"end": (1 if first is None else first) + count - 1}


def _to_offset_limit(arguments: JSONObject) -> dict[str, JSON]:
    found = {"offset": arguments["start"]} if "start" in arguments else {}
    if "end" in arguments:
        found["limit"] = arguments["end"] - arguments.get("start", 1) + 1
    return found


_Taking = Callable[[dict[str, JSON]], dict[str, JSON]]
_Giving = Callable[[JSONObject], dict[str, JSON]]
_SPANS: Mapping[str, tuple[_Taking, _Giving]] = {
    "view_range": (_from_view_range, _to_view_range),
    "offset_limit": (_from_offset_limit, _to_offset_limit),
}

# Tools that SWE-agent 0.x writes as shell lines: (kind, names of the words, numbers or texts).
_WORD = r"""("[^"\n]*"|'[^'\n]*'|[^\s"';&|<>]+)"""
_LINE = re.compile(rf"(\w+)(?: {_WORD})?(?: {_WORD})?")
_EDIT = re.compile(r"edit (\d+):(\d+)\n(.*?)(\n?end_of_edit\n?)", re.DOTALL)
_LINES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "open": ("view", ("path", "start")),
    "goto": ("view", ("start",)),
    "scroll_up": ("view", ()),
    "scroll_down": ("view", ()),
    "create": ("create", ("path",)),
    "find_file": ("search", ("pattern", "path")),
    "search_file": ("search", ("pattern", "path")),
    "search_dir": ("search", ("pattern", "path")),
    "submit": ("submit", ()),
}


def _shell_tool(action: Action) -> Canonical | None:
    """Return the call of a SWE-agent tool in a shell line, None if the line cannot be rebuilt exactly from it."""
    line = action.arguments.get("command")
    if action.name not in SHELLS or not isinstance(line, str) or len(action.arguments) != 1:
        return None
    if match := _EDIT.fullmatch(line):
        numbers: dict[str, JSON] = {"start": int(match[1]), "end": int(match[2])}
        found, rest = numbers | {"new": match[3]}, {"end_of_edit": match[4]}
        call = Canonical(kind="replace", arguments=found, tool=action.name, command="edit", rest=rest)
    elif (match := _LINE.fullmatch(line)) and match[1] in _LINES:
        kind, names = _LINES[match[1]]
        words = [word for word in match.groups()[1:] if word is not None]
        if len(words) > len(names):
            return None
        found = {name: _unquoted(word, name) for name, word in zip(names, words, strict=False)}
        quotes = [word[0] if word[0] in "\"'" else "" for word in words]
        rest = {"quotes": quotes} if any(quotes) else {}
        call = Canonical(kind=kind, arguments=found, tool=action.name, command=match[1], rest=rest)
    else:
        return None
    return call if _write_line(call) == line else None


def _unquoted(word: str, name: str) -> JSON:
    if name == "start" and word.isdecimal() and word.isascii():
        return int(word)
    return word[1:-1] if word[0] in "\"'" else word


def _write_line(call: Canonical) -> str:
    if call.command == "edit":
        numbers = f"{call.arguments['start']}:{call.arguments['end']}"
        return f"edit {numbers}\n{call.arguments['new']}{call.rest['end_of_edit']}"
    _, names = _LINES[call.command or ""]
    words = [str(call.arguments[name]) for name in names if name in call.arguments]
    quotes = call.rest.get("quotes") or [""] * len(words)
    quoted = [f"{quote}{word}{quote}" for word, quote in zip(words, quotes, strict=True)]
    return " ".join([call.command or "", *quoted])
