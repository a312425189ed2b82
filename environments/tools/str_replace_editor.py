"""The ``str_replace_editor`` tool: view, create, str_replace, insert, undo_edit.

The commands and their parameters are those of SWE-agent, SWE-smith and Anthropic's text editor. This file
needs the standard library only, so that it can be copied into a container and run there. As a script it reads
the arguments as one JSON object from stdin, prints what the agent is to see, and exits 0, or 1 if the call
failed::

    echo '{"command": "view", "path": "/testbed/a.py"}' | python str_replace_editor.py [HISTORY_FILE]

HISTORY_FILE keeps what ``undo_edit`` needs between the calls (default: a file in the folder for temporary
files).

Unlike some of its relatives it never changes what it was not asked to change: tabs, line ends and bytes that
are not UTF-8 stay as they are. Numbers may come as text (``"12"``, ``"[1, 20]"``), as tag-style calls have them.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SNIPPET_LINES = 4  # lines shown before and after an edit
VIEW_LIMIT = 30_000  # characters of one view
COMMANDS = ("view", "create", "str_replace", "insert", "undo_edit")

History = dict[str, list[str | None]]  # path -> earlier texts, the latest last; None: the file was not there


class EditorError(Exception):
    """The call cannot be done; the message is for the agent."""


def edit(arguments: Mapping[str, Any], history: History) -> str:
    """Do one call and return the observation. ``history`` is changed in place. Raises EditorError."""
    command = arguments.get("command")
    if command not in COMMANDS:
        raise EditorError(f"Unknown command {command!r}. The commands are: {', '.join(COMMANDS)}.")
    path = Path(_text(arguments, "path"))
    if not path.is_absolute():
        raise EditorError(f"The path {path} is not absolute. Did you mean /testbed/{path}?")
    if command == "create":
        return _create(path, _text(arguments, "file_text"), history)
    if command == "undo_edit":
        return _undo(path, history)
    if not path.exists():
        raise EditorError(f"There is no file or folder {path}.")
    if path.is_dir():
        if command != "view":
            raise EditorError(f"{path} is a folder: only view works on folders.")
        if arguments.get("view_range") is not None:
            raise EditorError(f"{path} is a folder: view_range works on files only.")
        return _view_folder(path)
    if command == "view":
        return _view_file(path, arguments.get("view_range"))
    if command == "str_replace":
        return _str_replace(path, _text(arguments, "old_str"), _text(arguments, "new_str", ""), history)
    return _insert(path, arguments.get("insert_line"), _text(arguments, "new_str"), history)


def _text(arguments: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = arguments.get(name)
    if value is None:
        value = default
    if not isinstance(value, str):
        what = "is missing" if value is None else "has to be text"
        raise EditorError(f"The parameter {name} {what} (command {arguments.get('command')}).")
    return value


def _integer(value: Any, name: str) -> int:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise EditorError(f"The parameter {name} has to be a whole number, not {value!r}.")
    return value


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError as error:
        raise EditorError(f"Cannot read {path}: {error.strerror}.") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise EditorError(f"Cannot write {path}: {error.strerror}.") from error


def _lines(text: str) -> list[str]:
    """Lines as an editor counts them: the newline at the end of a file does not start another line."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _numbered(lines: list[str], first: int) -> str:
    return "\n".join(f"{number:6d}\t{line}" for number, line in enumerate(lines, first))


def _view_folder(path: Path) -> str:
    """Two levels, hidden entries left out, folders marked with a slash."""
    found: list[str] = []
    for child in _visible(path):
        found.append(_entry(child))
        if child.is_dir():
            found.extend(_entry(grandchild) for grandchild in _visible(child))
    return "\n".join([f"{path}, two levels deep, without hidden files:", *found])


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except OSError as error:
        raise EditorError(f"Cannot list {folder}: {error.strerror}.") from error


def _entry(path: Path) -> str:
    return f"{path}/" if path.is_dir() else str(path)


def _view_file(path: Path, view_range: Any) -> str:
    lines = _lines(_read(path))
    first, last = (1, len(lines)) if view_range is None else _range(view_range, len(lines))
    shown = _numbered(lines[first - 1 : last], first)
    if len(shown) > VIEW_LIMIT:
        shown = f"{shown[:VIEW_LIMIT]}\n[cut here: the file is long, use view_range to see the rest]"
    if not lines:
        return f"{path} is empty."
    return f"{path}, lines {first}-{last} of {len(lines)}:\n{shown}"


def _range(value: Any, count: int) -> tuple[int, int]:
    """First and last line, from 1, both included. -1 as the last one means the end of the file."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list) or len(value) != 2:
        raise EditorError(f"The parameter view_range has to be [first, last], not {value!r}.")
    first, last = (_integer(number, "view_range") for number in value)
    if last == -1:
        last = count
    if not 1 <= first <= last <= count:
        raise EditorError(f"The view_range {value} does not fit: the file has the lines 1 to {count}.")
    return first, last


def _create(path: Path, file_text: str, history: History) -> str:
    if path.exists():
        raise EditorError(f"{path} is there already. Use str_replace to change it, create is for new files.")
    if not path.parent.is_dir():
        raise EditorError(f"The folder {path.parent} does not exist: make it first.")
    _write(path, file_text)
    history.setdefault(str(path), []).append(None)
    return f"Created {path} ({len(_lines(file_text))} lines)."


def _str_replace(path: Path, old: str, new: str, history: History) -> str:
    text = _read(path)
    if not old:
        raise EditorError("The parameter old_str is empty: give the text to replace, or use insert.")
    if old == new:
        raise EditorError("The parameters old_str and new_str are the same: there is nothing to change.")
    starts = _occurrences(text, old)
    if not starts:
        raise EditorError(
            f"The old_str does not occur in {path}. It has to match exactly, also in white space."
        )
    if len(starts) > 1:
        numbers = ", ".join(str(text.count("\n", 0, start) + 1) for start in starts)
        raise EditorError(
            f"The old_str occurs {len(starts)} times in {path} (lines {numbers}). "
            "Add lines around it until it is the only one."
        )
    start = starts[0]
    changed = text[:start] + new + text[start + len(old) :]
    _write(path, changed)
    history.setdefault(str(path), []).append(text)
    line = changed.count("\n", 0, start)
    return _snippet(path, changed, line, line + new.count("\n"))


def _occurrences(text: str, part: str) -> list[int]:
    """Starts of all occurrences that do not overlap."""
    starts = []
    start = text.find(part)
    while start != -1:
        starts.append(start)
        start = text.find(part, start + len(part))
    return starts


def _insert(path: Path, after: Any, new: str, history: History) -> str:
    text = _read(path)
    lines = _lines(text)
    line = _integer(after, "insert_line")
    if not 0 <= line <= len(lines):
        raise EditorError(f"The insert_line {line} does not fit: it has to be from 0 to {len(lines)}.")
    added = _lines(new) or [""]
    end = "\n" if text.endswith("\n") or not text else ""
    changed = "\n".join([*lines[:line], *added, *lines[line:]]) + end
    _write(path, changed)
    history.setdefault(str(path), []).append(text)
    return _snippet(path, changed, line, line + len(added) - 1)


def _snippet(path: Path, text: str, first: int, last: int) -> str:
    """The edited lines (counted from 0, both included) and some around them."""
    lines = _lines(text)
    start, stop = max(0, first - SNIPPET_LINES), min(len(lines), last + SNIPPET_LINES + 1)
    return f"Edited {path}, lines {start + 1}-{stop} now:\n{_numbered(lines[start:stop], start + 1)}"


def _undo(path: Path, history: History) -> str:
    versions = history.get(str(path))
    if not versions:
        raise EditorError(f"There is no edit of {path} to undo.")
    text = versions[-1]
    if text is None:
        path.unlink(missing_ok=True)
        done = f"Undone: {path} is gone again."
    else:
        _write(path, text)
        done = f"Undone: {path} is as it was before the last edit."
    versions.pop()
    return done


def main() -> int:
    default = Path(tempfile.gettempdir()) / f"str_replace_editor_history.{os.getuid()}.json"
    history_file = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    history: History = json.loads(history_file.read_text()) if history_file.exists() else {}
    try:
        arguments = json.load(sys.stdin)
        if not isinstance(arguments, dict):
            raise EditorError("The arguments have to be one JSON object.")
        shown, status = edit(arguments, history), 0
    except json.JSONDecodeError as error:
        shown, status = f"ERROR: The arguments are not JSON: {error}.", 1
    except EditorError as error:
        shown, status = f"ERROR: {error}", 1
    history_file.write_text(json.dumps(history))
    sys.stdout.buffer.write(shown.encode("utf-8", errors="replace") + b"\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
