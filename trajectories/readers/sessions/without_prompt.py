"""Logs that hold no prompt of the user: the name of their task, and the name in place of a task."""

from trajectories.conversation.events import Folded
from trajectories.ledger import FileLedger
from trajectories.sources.documents import Document

TASK_IS_THE_NAME = "task_is_the_name"  # the log has no prompt, and no other task was given
# Names of files that say nothing about the run: the folder's name does.
_GENERIC = frozenset({
    "agent", "claude", "claude-code", "claude-execution-output", "claude_code", "conversation", "execution", "log",
    "logs", "messages", "output", "raw", "result", "run", "session", "stdout", "stream", "trace", "trajectory",
    "transcript", "codex",
})  # fmt: skip


def instance_name(document: Document) -> str:
    """Return the name of the file, or of its folder if the file's says nothing."""
    folder = document.path.parent.name
    return folder if document.name.lower() in _GENERIC and folder else document.name


def name_as_task(name: str, folded: Folded, ledger: FileLedger, position: str) -> str:
    """Return the name, and note it, for a run that acts; empty for any other, which is dropped."""
    if not any(step.actions for step in folded.steps):
        return ""
    ledger.note(TASK_IS_THE_NAME, position)
    return name
