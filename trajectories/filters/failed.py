"""Expert actions that failed: the tool refused the call, or the shell could not run it.

A failing test, a traceback, a search without a match are no failed actions: they tell the agent what it asked.
"""

import re
from collections.abc import Collection

from trajectories.filters.base import Found, texts
from trajectories.types import Step, Trajectory
from trajectories.vocabulary import canonical

FAILED = "failed_action"
_HEAD = 1000  # inspected characters of an observation
_LINES = 5  # a shell that could not run a command prints few lines

# How tools refuse, at the start of their output (SWE-agent, Anthropic, OpenHands, Claude Code, Moatless, TRAE).
_REFUSED = re.compile(
    r"\[?Your (?:proposed )?edit (?:has introduced|was not applied)"
    r"|ERROR[:!]"
    r"|Error: "
    r"|Error running bash command: "
    r"|Invalid `"
    r"|No replacement was performed"
    r"|No changes were made\."
    r"|<tool_use_error>"
    r"|Ran into \[Errno "
    r"|The requested file [^\n]{1,300} is not found"
    r"|The path [^\n]{1,300} does not exist"
    r"|(?:Directory|File) [^\n]{1,300} not found"
    r"|EXECUTION TIMED OUT"
)
# Whole lines of a shell, git or a small tool that did nothing.
_SHELL = re.compile(
    r"(?:[^\n:]{1,200}: )?(?:line \d{1,6}: )?[^\n:]{1,300}: (?:command not found|not found"
    r"|No such file or directory|Is a directory|Permission denied|Not a directory)"
    r"|[^\n:]{1,200}: can't open file [^\n]{1,400}"
    r"|[^\n:]{1,200}: cannot [^\n]{1,300}: (?:No such file or directory|Is a directory|Permission denied)"
    r"|(?:error|fatal): [^\n]{1,400}"
    r"|[^\n]{0,200}syntax error near unexpected token [^\n]{1,100}"
    r"|EXECUTION TIMED OUT"
    r"|\[stopped: [^\n]{1,100}\]"
)
_RETURN_CODE = re.compile(r"\s{0,5}<returncode>(-?\d{1,4})</returncode>\s{0,5}(?:<output>\n?)?")
_EXIT_CODE = re.compile(r"\[exit code (-?\d{1,4})\]$")  # our own tool loop's, below the output
# Lines that scaffolds add below a command's output.
_DECORATION = re.compile(
    r"\(Open file: |\(Current directory: |bash-\$|</output>|\[The command completed |\[Current working directory"
    r"|\[Python interpreter: |\[Command finished with exit code |\[Jupyter "
    r"|The command printed nothing\.$|\[exit code -?\d{1,3}\]$"
)


def failed_actions(trajectory: Trajectory, *, exit_codes: Collection[int]) -> Found:
    """Find steps whose observation is only the error of a call that was refused, or could not be run.

    ``exit_codes``: codes that also mean a failure, where the scaffold shows the code of a command.
    """
    return {index: FAILED for index, step in enumerate(trajectory.steps) if _failed(step, exit_codes)}


def _failed(step: Step, exit_codes: Collection[int]) -> bool:
    if not step.actions:
        return False
    head = step.observation[:_HEAD].lstrip()
    if match := _RETURN_CODE.match(head):
        if (code := int(match[1])) in exit_codes or code == 0:
            return code in exit_codes
        head = head[match.end() :]
    calls = [canonical(action) for action in step.actions]
    if any(call is not None and call.kind == "run" for call in calls):
        if (match := _EXIT_CODE.search(step.observation[-20:].rstrip())) and int(match[1]) in exit_codes:
            return True
        return len(step.observation) < _HEAD and not _has_fallback(step) and _only_errors(head)
    not_found = head.startswith("String '") and "' not found in " in step.observation  # Moatless
    return not_found or _REFUSED.match(head) is not None


def _has_fallback(step: Step) -> bool:
    """Return whether a command is like `a || b`: the failure of `a` was expected, and `b` ran."""
    return any("||" in text for action in step.actions for text in texts(action.arguments))


def _only_errors(output: str) -> bool:
    """Return whether the output consists of a few lines of failure."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    left = [line for line in lines if not _DECORATION.match(line)]
    # Files that rm did not find are absent as wanted; the others are removed.
    if any("cannot remove" in line for line in left):
        return False
    return 0 < len(left) <= _LINES and all(_SHELL.fullmatch(line) for line in left)
