"""Kinds of step, so that figures of different scaffolds can stand side by side."""

import re

from trajectories import Step

KINDS = ("edit", "bash", "search", "read", "planning", "finish", "think", "math")

_BY_TOOL = {
    "submit": "finish",
    "finish": "finish",
    "task_done": "finish",
    "think": "think",
    "sequentialthinking": "think",
    "todowrite": "planning",
    "task_tracker": "planning",
    "task": "planning",
    "read": "read",
    "open": "read",
    "goto": "read",
    "scroll_up": "read",
    "scroll_down": "read",
    "grep": "search",
    "glob": "search",
    "ls": "search",
    "find_file": "search",
    "search_file": "search",
    "search_dir": "search",
    "edit": "edit",
    "multiedit": "edit",
    "write": "edit",
    "create": "edit",
    "insert": "edit",
    "notebookedit": "edit",
    "step": "math",  # of a written solution
}
_SHELLS = frozenset({"bash", "execute_bash", "terminal", "shell"})
_EDITORS = frozenset({"str_replace_editor", "str_replace_based_edit_tool", "file_editor"})
_SEARCHERS = frozenset({"grep", "egrep", "fgrep", "rg", "ag", "find", "fd", "ls", "tree", "locate", "which"})
_READERS = frozenset({"cat", "head", "tail", "less", "more", "nl", "wc", "bat"})
# What precedes the program that matters: `cd somewhere &&`, variable assignments.
_PRELUDE = re.compile(r"^\s*(?:cd\s+[^\s;&|]+\s*(?:&&|;|\n)\s*|[A-Za-z_]\w*=\S*\s+)*")


def step_kind(step: Step) -> str:
    """The kind of a step's first action; one of KINDS.

    >>> from trajectories import Action
    >>> look = Action(name="bash", arguments={"command": "cd /testbed && grep -rn parse src"})
    >>> step_kind(Step(thought="", actions=(look,), observation=""))
    'search'
    """
    if not step.actions:
        return "think"
    action = step.actions[0]
    name = action.name.lower()
    if name in _SHELLS:
        return _shell_kind(str(action.arguments.get("command", "")))
    if name in _EDITORS:
        return "read" if action.arguments.get("command") == "view" else "edit"
    return _BY_TOOL.get(name, "bash")


def _shell_kind(command: str) -> str:
    words = _PRELUDE.sub("", command, count=1).split(maxsplit=2)
    program = words[0] if words else ""
    if program in _SEARCHERS:
        return "search"
    if program in _EDITORS:  # scaffolds that know only shell lines write their tools as commands
        return "read" if words[1:2] == ["view"] else "edit"
    if program in _BY_TOOL:
        return _BY_TOOL[program]
    reads = program in _READERS or (program == "sed" and words[1:2] == ["-n"])
    if reads and ">" not in command:
        return "read"
    return "edit" if program == "sed" and words[1:2] == ["-i"] else "bash"
