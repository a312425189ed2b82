"""The ``str_replace_editor`` tool: view, create, str_replace, insert, undo_edit.

The commands and their parameters are those of SWE-agent, SWE-smith and Anthropic's text editor. The logic runs
outside the sandbox and accesses its files through ``Files``: an image needs no Python, and the agent cannot change
the history of ``undo_edit``.

Unlike some similar tools it changes nothing else: tabs, line ends and bytes that are not UTF-8 stay as they are.
Numbers may be given as text (``"12"``, ``"[1, 20]"``), as in tag-style calls.
"""

import contextlib
import errno
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Protocol

SNIPPET_LINES = 4  # lines shown before and after an edit
VIEW_LIMIT = 30_000  # characters of one view
HISTORY_LIMIT = 50_000_000  # characters of earlier texts kept for undo_edit
# No such entry, a file where the path has a folder, a name that no file can have, links in a circle.
_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
COMMANDS = ("view", "create", "str_replace", "insert", "undo_edit")


class Files(Protocol):
    """Files by absolute path. Methods raise the OSError, with its ``strerror``, of Python's corresponding call."""

    def read(self, path: str) -> bytes:
        """Return a regular file's content. Raises FileNotFoundError, IsADirectoryError, any other OSError."""

    def write(self, path: str, data: bytes, *, new: bool = False) -> None:
        """Replace or create a file in an existing folder. Raises FileExistsError if ``new`` and the file exists."""

    def remove(self, path: str) -> None:
        """Remove a file if it exists."""

    def entries(self, folder: str) -> Sequence[str]:
        """Return two sorted levels of a folder, without hidden entries: relative paths, of folders ending in ``/``."""


class EditorError(Exception):
    """A call that cannot be executed; the message is for the agent."""


class Editor:
    """The tool and its undo history."""

    def __init__(self, files: Files) -> None:
        self._files = files
        # (path, text before an edit), the latest last; None: the file did not exist
        self._history: list[tuple[str, str | None]] = []

    def edit(self, arguments: Mapping[str, object]) -> str:
        """Execute one call and return the observation. Raises EditorError."""
        command = arguments.get("command")
        if command not in COMMANDS:
            raise EditorError(f"Unknown command {command!r}. The commands are: {', '.join(COMMANDS)}.")
        path = PurePosixPath(_text(arguments, "path"))
        if not path.is_absolute():
            raise EditorError(f"The path {path} is not absolute. Did you mean /testbed/{path}?")
        if command == "create":
            return self._create(path, _text(arguments, "file_text"))
        if command == "undo_edit":
            return self._undo(path)
        try:
            text = self._read(path)
        except FileNotFoundError as error:
            raise EditorError(f"There is no file or folder {path}.") from error
        except IsADirectoryError as error:
            if command != "view":
                raise EditorError(f"{path} is a folder: only view works on folders.") from error
            if arguments.get("view_range") is not None:
                raise EditorError(f"{path} is a folder: view_range works on files only.") from error
            return self._view_folder(path)
        if command == "view":
            return _view_file(path, text, arguments.get("view_range"))
        if command == "str_replace":
            return self._str_replace(path, text, _text(arguments, "old_str"), _text(arguments, "new_str", ""))
        return self._insert(path, text, arguments.get("insert_line"), _text(arguments, "new_str"))

    def _read(self, path: PurePosixPath) -> str:
        """Return a file's text. Raises FileNotFoundError, IsADirectoryError, EditorError."""
        try:
            return self._files.read(str(path)).decode("utf-8", errors="surrogateescape")
        except IsADirectoryError:
            raise
        except OSError as error:
            if error.errno in _NOT_FOUND:
                raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
            raise EditorError(f"Cannot read {path}: {error.strerror}.") from error

    def _write(self, path: PurePosixPath, text: str) -> None:
        try:
            self._files.write(str(path), text.encode("utf-8", errors="surrogateescape"))
        except OSError as error:
            raise EditorError(f"Cannot write {path}: {error.strerror}.") from error

    def _view_folder(self, path: PurePosixPath) -> str:
        """List two levels without hidden entries; folders end with a slash."""
        try:
            entries = self._files.entries(str(path))
        except OSError as error:
            raise EditorError(f"Cannot list {path}: {error.strerror}.") from error
        prefix = str(path).removesuffix("/")
        shown = "\n".join(f"{prefix}/{entry}" for entry in entries)
        if len(shown) > VIEW_LIMIT:
            shown = f"{shown[:VIEW_LIMIT]}\n[cut here: the folder is large, view one of its folders]"
        return "\n".join([f"{path}, two levels deep, without hidden files:", *([shown] if shown else [])])

    def _create(self, path: PurePosixPath, file_text: str) -> str:
        try:
            self._files.write(str(path), file_text.encode("utf-8", errors="surrogateescape"), new=True)
        except FileExistsError as error:
            advice = "Use str_replace to change it, create is for new files."
            raise EditorError(f"{path} is there already. {advice}") from error
        except (FileNotFoundError, NotADirectoryError) as error:
            raise EditorError(f"The folder {path.parent} does not exist: make it first.") from error
        except OSError as error:
            raise EditorError(f"Cannot write {path}: {error.strerror}.") from error
        self._remember(path, None)
        return f"Created {path} ({len(_lines(file_text))} lines)."

    def _str_replace(self, path: PurePosixPath, text: str, old: str, new: str) -> str:
        if not old:
            raise EditorError("The parameter old_str is empty: give the text to replace, or use insert.")
        if old == new:
            raise EditorError("The parameters old_str and new_str are the same: there is nothing to change.")
        starts = _occurrences(text, old)
        if not starts:
            advice = "It has to match exactly, also in white space."
            raise EditorError(f"The old_str does not occur in {path}. {advice}")
        if len(starts) > 1:
            numbers = _line_numbers(text, starts)
            found = f"The old_str occurs {len(starts)} times in {path} (lines {numbers})."
            raise EditorError(f"{found} Add lines around it until it is the only one.")
        start = starts[0]
        changed = text[:start] + new + text[start + len(old) :]
        self._write(path, changed)
        self._remember(path, text)
        line = changed.count("\n", 0, start)
        return _snippet(path, changed, line, line + new.count("\n"))

    def _insert(self, path: PurePosixPath, text: str, after: object, new: str) -> str:
        lines = _lines(text)
        line = _integer(after, "insert_line")
        if not 0 <= line <= len(lines):
            raise EditorError(f"The insert_line {line} does not fit: it has to be from 0 to {len(lines)}.")
        added = _lines(new) or [""]
        end = "\n" if text.endswith("\n") or not text else ""
        changed = "\n".join([*lines[:line], *added, *lines[line:]]) + end
        self._write(path, changed)
        self._remember(path, text)
        return _snippet(path, changed, line, line + len(added) - 1)

    def _remember(self, path: PurePosixPath, text: str | None) -> None:
        self._history.append((str(path), text))
        while sum(len(earlier or "") for _, earlier in self._history) > HISTORY_LIMIT:
            del self._history[0]

    def _undo(self, path: PurePosixPath) -> str:
        edits = [number for number, (edited, _) in enumerate(self._history) if edited == str(path)]
        if not edits:
            raise EditorError(f"There is no edit of {path} to undo.")
        _, text = self._history[edits[-1]]
        if text is None:
            try:
                self._files.remove(str(path))
            except OSError as error:
                raise EditorError(f"Cannot remove {path}: {error.strerror}.") from error
            done = f"Undone: {path} is gone again."
        else:
            self._write(path, text)
            done = f"Undone: {path} is as it was before the last edit."
        del self._history[edits[-1]]
        return done


def _text(arguments: Mapping[str, object], name: str, default: str | None = None) -> str:
    value = default if arguments.get(name) is None else arguments[name]
    if not isinstance(value, str):
        what = "is missing" if value is None else "has to be text"
        raise EditorError(f"The parameter {name} {what} (command {arguments.get('command')}).")
    try:
        value.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError as error:  # a lone surrogate, which JSON can express
        raise EditorError(f"The parameter {name} has characters that no file can hold.") from error
    return value


def _integer(value: object, name: str) -> int:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise EditorError(f"The parameter {name} has to be a whole number, not {value!r}.")
    return value


def _lines(text: str) -> list[str]:
    """Split a text as editors do: a newline at the end does not start another line."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _numbered(lines: list[str], first: int) -> str:
    return "\n".join(f"{number:6d}\t{line}" for number, line in enumerate(lines, first))


def _view_file(path: PurePosixPath, text: str, view_range: object) -> str:
    lines = _lines(text)
    first, last = (1, len(lines)) if view_range is None else _range(view_range, len(lines))
    shown = _numbered(lines[first - 1 : last], first)
    if len(shown) > VIEW_LIMIT:
        shown = f"{shown[:VIEW_LIMIT]}\n[cut here: the file is long, use view_range to see the rest]"
    if not lines:
        return f"{path} is empty."
    return f"{path}, lines {first}-{last} of {len(lines)}:\n{shown}"


def _range(value: object, count: int) -> tuple[int, int]:
    """Return the first and last line, 1-based and inclusive; a last line of -1 is the end of the file."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, list) or len(value) != 2:
        raise EditorError(f"The parameter view_range has to be [first, last], not {value!r}.")
    first, last = (_integer(number, "view_range") for number in value)
    if last == -1:
        last = count
    if not 1 <= first <= last <= count:
        raise EditorError(f"The view_range {value} does not fit: the file has the lines 1 to {count}.")
    return first, last


def _occurrences(text: str, part: str) -> list[int]:
    """Return the start offsets of all non-overlapping occurrences."""
    starts = []
    start = text.find(part)
    while start != -1:
        starts.append(start)
        start = text.find(part, start + len(part))
    return starts


def _line_numbers(text: str, starts: Sequence[int], limit: int = 100) -> str:
    """Return the line numbers of the first ``limit`` offsets."""
    numbers, line, before = [], 1, 0
    for start in starts[:limit]:
        line += text.count("\n", before, start)
        before = start
        numbers.append(str(line))
    return ", ".join(numbers) + (", …" if len(starts) > limit else "")


def _snippet(path: PurePosixPath, text: str, first: int, last: int) -> str:
    """Return the edited lines (0-based, inclusive) and some context."""
    lines = _lines(text)
    start, stop = max(0, first - SNIPPET_LINES), min(len(lines), last + SNIPPET_LINES + 1)
    return f"Edited {path}, lines {start + 1}-{stop} now:\n{_numbered(lines[start:stop], start + 1)}"
