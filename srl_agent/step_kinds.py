"""Kinds of steps, so that figures of different scaffolds can be compared."""

import re

from trajectories import Step
from trajectories.types import JSON
from trajectories.vocabulary import EDITORS, canonical, kind_of

KINDS = ("edit", "bash", "search", "read", "planning", "finish", "think", "math")

# Kinds of calls -> kinds of steps. Shell commands are classified by their text.
_OF_CALLS = {
    "run": "bash",
    "view": "read",
    "search": "search",
    **dict.fromkeys(("create", "replace", "insert", "patch", "undo"), "edit"),
    **dict.fromkeys(("plan", "delegate"), "planning"),
    "think": "think",
    "solve": "math",
    "submit": "finish",
}
_SEARCHERS = frozenset({"grep", "egrep", "fgrep", "rg", "ag", "find", "fd", "ls", "tree", "locate", "which"})
_READERS = frozenset({"cat", "head", "tail", "less", "more", "nl", "wc", "bat"})
# What precedes the program that matters: `cd somewhere &&`, variable assignments.
_PRELUDE = re.compile(r"^\s*(?:cd\s+[^\s;&|]+\s*(?:&&|;|\n)\s*|[A-Za-z_]\w*=\S*\s+)*")


def step_kind(step: Step) -> str:
    """Return the kind of a step's first action, one of KINDS.

    >>> from trajectories import Action
    >>> look = Action(name="bash", arguments={"command": "cd /testbed && grep -rn parse src"})
    >>> step_kind(Step(thought="", actions=(look,), observation=""))
    'search'
    """
    if not step.actions:
        return "think"
    action = step.actions[0]
    call = canonical(action)
    if call is None:
        return "edit" if action.name in EDITORS else "bash"
    command = _line(call.arguments.get("command"))
    return _shell_kind(command) if command is not None else _OF_CALLS[call.kind]


def _line(command: JSON) -> str | None:
    """Return a command as a shell line; Codex gives its words, often a shell with the line."""
    if isinstance(command, str):
        return command
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return None
    is_shell = len(command) == 3 and command[1] in ("-c", "-lc")
    return command[2] if is_shell else " ".join(command)


def _shell_kind(command: str) -> str:
    words = _PRELUDE.sub("", command, count=1).split(maxsplit=2)
    program = words[0] if words else ""
    if program in _SEARCHERS:
        return "search"
    if program in EDITORS:  # scaffolds with a shell only write tools as commands
        return "read" if words[1:2] == ["view"] else "edit"
    if tool := kind_of(program):
        return _OF_CALLS[tool]
    reads = program in _READERS or (program == "sed" and words[1:2] == ["-n"])
    if reads and ">" not in command:
        return "read"
    return "edit" if program == "sed" and words[1:2] == ["-i"] else "bash"
