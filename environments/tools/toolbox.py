"""Execute tool calls in any sandbox: one implementation, so that observations are the same everywhere."""

from collections.abc import Callable, Mapping

from environments.tools import TOOL_NAMES
from environments.tools.bash import clip, command_error
from environments.tools.str_replace_editor import VIEW_LIMIT, Editor, EditorError, Files

# Other scaffolds' names for the same tools.
_ALIASES = {"execute_bash": "bash", "str_replace_based_edit_tool": "str_replace_editor"}
_ALIASES |= dict.fromkeys(("task_done", "finish"), "submit")
_LIMIT = VIEW_LIMIT + 1000  # characters: fits a whole view with its heading, but not a line of a megabyte


class Toolbox:
    """The tools of one rollout."""

    def __init__(self, *, bash: Callable[[str], str], files: Files) -> None:
        """``bash`` runs a command and returns its observation."""
        self._bash = bash
        self._editor = Editor(files)
        self.submitted = False

    def execute(self, name: str, arguments: Mapping[str, object]) -> str:
        """Run one tool call and return the observation; a failed call has one too."""
        if self.submitted:
            raise RuntimeError("this sandbox is used up: its work was submitted")
        name = _ALIASES.get(name, name)
        if name == "bash":
            command = arguments.get("command")
            if not isinstance(command, str):
                what = "is missing" if command is None else "has to be text"
                return f"ERROR: The parameter command {what} (tool bash)."
            if problem := command_error(command):
                return f"ERROR: {problem}"
            return _encodable(self._bash(command))
        if name == "str_replace_editor":
            try:
                shown = self._editor.edit(arguments)
            except EditorError as error:
                shown = f"ERROR: {error}"
            return _encodable(clip(shown, _LIMIT))
        if name == "submit":
            self.submitted = True
            return "Submitted."
        return f"ERROR: There is no tool {name!r}. The tools are: {', '.join(TOOL_NAMES)}."


def _encodable(text: str) -> str:
    """Replace bytes that are not UTF-8 by U+FFFD: tokenizers reject lone surrogates."""
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
