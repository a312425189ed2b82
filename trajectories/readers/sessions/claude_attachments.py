"""Attachments of Claude Code sessions: what the program showed the model beside the user's words."""

from collections.abc import Callable, Mapping

from trajectories.conversation.fields import text_at
from trajectories.readers.sessions.anthropic_lines import lenient_text
from trajectories.types import JSON, JSONObject

# The program's own tools and settings, which change nothing in the task.
_OF_THE_PROGRAM = frozenset(
    {"command_permissions", "critical_system_reminder", "date", "environment", "model"}
)
_OF_THE_PROGRAM_ENDINGS = ("_delta", "_listing", "_record")
# Of a hook that succeeded the model reads the output at these events only.
_HOOKS_WITH_OUTPUT = ("SessionStart", "UserPromptSubmit")


def attachment_text(line: JSONObject) -> str:
    """Return what the model saw of an attachment, empty if that was nothing or is not known.

    Newer versions write it as ``rendered``.

    >>> attachment_text({"attachment": {"type": "edited_text_file", "filename": "a.py", "snippet": "1\\tx = 3"}})
    'a.py was modified:\\n1\\tx = 3'
    """
    attachment = line.get("attachment")
    if not isinstance(attachment, dict):
        return ""
    kind = attachment.get("type")
    if not isinstance(kind, str) or kind in _OF_THE_PROGRAM or kind.endswith(_OF_THE_PROGRAM_ENDINGS):
        return ""
    if rendered := _rendered(line.get("rendered", attachment.get("rendered"))):
        return rendered
    return _KINDS[kind](attachment) if kind in _KINDS else ""


def attachment_kind(line: JSONObject) -> str:
    attachment = line.get("attachment")
    kind = attachment.get("type") if isinstance(attachment, dict) else None
    return kind if isinstance(kind, str) else "of no kind"


def _rendered(value: JSON) -> str:
    messages = value if isinstance(value, list) else [value]
    texts = [_content(message) for message in messages]
    return "\n".join(text for text in texts if text)


def _content(value: JSON) -> str:
    """Return the text of a content, of a message with one, or of a file's ``{file: {content}}``."""
    for key in ("file", "message", "content"):
        if isinstance(value, dict) and value.get(key) is not None and not isinstance(value.get("text"), str):
            return _content(value[key])
    return "" if value is None else lenient_text(value)


def _path(attachment: JSONObject) -> str:
    keys = ("filename", "path", "displayPath", "uri", "name")
    return next((path for key in keys if (path := text_at(attachment, key))), "a file")


def _file(attachment: JSONObject) -> str:
    text = _content(attachment.get("content"))
    return f"{_path(attachment)}:\n{text}" if text else ""


def _edited(attachment: JSONObject) -> str:
    snippet = text_at(attachment, "snippet")
    return f"{_path(attachment)} was modified:\n{snippet}" if snippet else ""


def _selected(attachment: JSONObject) -> str:
    return f"Selected in the editor, {_file(attachment)}" if attachment.get("content") else ""


def _opened(attachment: JSONObject) -> str:
    return f"Opened in the editor: {_path(attachment)}"


def _queued(attachment: JSONObject) -> str:
    return _content(attachment.get("prompt"))


def _hook_context(attachment: JSONObject) -> str:
    return _content(attachment.get("content"))


def _hook_success(attachment: JSONObject) -> str:
    return _hook_context(attachment) if attachment.get("hookEvent") in _HOOKS_WITH_OUTPUT else ""


def _hook_blocking(attachment: JSONObject) -> str:
    error = attachment.get("blockingError")
    inner = error.get("blockingError") if isinstance(error, dict) else error
    name = text_at(attachment, "hookName") or "A hook"
    return f"{name} blocking error: {_content(inner)}" if inner else ""


def _hook_stopped(attachment: JSONObject) -> str:
    message = _content(attachment.get("message"))
    return f"{text_at(attachment, 'hookName') or 'A hook'} stopped: {message}" if message else ""


def _hook_response(attachment: JSONObject) -> str:
    response = attachment.get("response")
    if not isinstance(response, dict):
        return ""
    output = response.get("hookSpecificOutput")
    context = output.get("additionalContext") if isinstance(output, dict) else None
    texts = (_content(response.get("systemMessage")), _content(context))
    return "\n".join(text for text in texts if text)


def _diagnostics(attachment: JSONObject) -> str:
    files = attachment.get("files")
    lines = (
        [line for file in files if isinstance(file, dict) for line in _diagnostics_of(file)]
        if isinstance(files, list)
        else []
    )
    return "\n".join(["New diagnostics:", *lines]) if lines else ""


def _diagnostics_of(file: JSONObject) -> list[str]:
    found = file.get("diagnostics")
    messages = (
        [one.get("message") for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    )
    return [f"{_path(file)}: {message}" for message in messages if isinstance(message, str)]


_KINDS: Mapping[str, Callable[[JSONObject], str]] = {
    "async_hook_response": _hook_response,
    "diagnostics": _diagnostics,
    "directory": _file,
    "edited_text_file": _edited,
    "file": _file,
    "hook_additional_context": _hook_context,
    "hook_blocking_error": _hook_blocking,
    "hook_stopped_continuation": _hook_stopped,
    "hook_success": _hook_success,
    "mcp_resource": _file,
    "nested_memory": _file,
    "new_file": _file,
    "opened_file_in_ide": _opened,
    "queued_command": _queued,
    "selected_lines_in_ide": _selected,
}
