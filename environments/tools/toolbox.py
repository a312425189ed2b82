"""What a tool call means, in whatever box: one implementation, so that observations are the same everywhere."""

from collections.abc import Callable, Mapping
from typing import Any

from environments.tools import TOOL_NAMES
from environments.tools.bash import clip, unfit
from environments.tools.str_replace_editor import VIEW_LIMIT, Editor, EditorError, Files

# Other scaffolds' names of the same tools.
_ALIASES = {
    "execute_bash": "bash",
    "str_replace_based_edit_tool": "str_replace_editor",
    "task_done": "submit",
    "finish": "submit",
}
_LIMIT = VIEW_LIMIT + 1000  # characters: a whole view with its heading, but no line of a megabyte


class Toolbox:
    """The tools of one attempt."""

    def __init__(self, *, bash: Callable[[str], str], files: Files) -> None:
        """``bash`` runs a command and returns its observation."""
        self._bash = bash
        self._editor = Editor(files)
        self.submitted = False

    def execute(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Run one tool call and return what the agent sees. A call that fails is an observation, too."""
        if self.submitted:
            raise RuntimeError("this box is used up: its work was submitted")
        name = _ALIASES.get(name, name)
        if name == "bash":
            command = arguments.get("command")
            if not isinstance(command, str):
                what = "is missing" if command is None else "has to be text"
                return f"ERROR: The parameter command {what} (tool bash)."
            if problem := unfit(command):
                return f"ERROR: {problem}"
            return _showable(self._bash(command))
        if name == "str_replace_editor":
            try:
                shown = self._editor.edit(arguments)
            except EditorError as error:
                shown = f"ERROR: {error}"
            return _showable(clip(shown, _LIMIT))
        if name == "submit":
            self.submitted = True
            return "Submitted."
        return f"ERROR: There is no tool {name!r}. The tools are: {', '.join(TOOL_NAMES)}."


def _showable(text: str) -> str:
    """Bytes that are not UTF-8 as a mark: a tokenizer takes no half surrogates."""
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
