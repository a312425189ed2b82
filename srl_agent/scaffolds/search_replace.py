"""SEARCH/REPLACE edits: read from an answer, applied to texts. Pure.

An answer holds blocks as in FORM, with one or more edits under a path.

The rules are those of Agentless-mini (SWE-RL, arXiv 2502.18449), the scaffold of the paper's figures: SEARCH must occur
in the file, and **every** occurrence is replaced; edits that do not apply are skipped and the others count; a syntax
error, or a change of blank lines only, rejects the whole answer. Agentless-mini matches SEARCH anywhere in the text;
here whole lines are matched first, and parts of lines only if no whole lines match.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from srl_agent.formats import without_thinking
from srl_agent.scaffolds.python_source import syntax_error

ROOT = "/testbed"
FORM = """\
```python
### path/to/file.py
<<<<<<< SEARCH
lines of the file
=======
lines that replace them
>>>>>>> REPLACE
```"""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Both texts are whole lines with their newlines; empty means no line."""

    path: str  # as written in the answer
    search: str  # empty: the file is new
    replace: str


@dataclass(frozen=True, kw_only=True)
class ParsedAnswer:
    """The edits of an answer, and what looked like edits but could not be read."""

    edits: tuple[Edit, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EditOutcome:
    """The result of applying an edit."""

    edit: Edit
    path: str | None  # the file in the repository, None if there is none
    occurrences: int = 0  # replaced ones; 1 for a new file
    refused: str | None = None  # why it was not applied

    def __str__(self) -> str:
        where = self.path or self.edit.path
        if self.refused is not None:
            return f"{where}: not applied: {self.refused}"
        return f"{where}: applied" + (f" at {self.occurrences} places" if self.occurrences > 1 else "")


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The texts after the edits."""

    files: Mapping[str, str]  # new texts of changed files, by path; empty if the answer is rejected
    before: Mapping[str, str]  # their old texts, without new files
    outcomes: tuple[EditOutcome, ...]
    rejected: str | None = None  # why the answer is rejected although edits apply


# --- reading an answer ---------------------------------------------------------------------------------------------

_START = re.compile(r"(?P<arrows><{5,9}) ?SEARCH\s*")
_END = re.compile(r">{5,9} ?REPLACE\s*")
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})(?P<info>[^`]*)")
_HEADING = re.compile(r"\s*(?P<marks>#{1,6})\s*(?P<text>.*\S)\s*")
_BARE_PATH = re.compile(r"(?:[\w.@+-]+/)*[\w.@+-]+\.\w+:?")
_DECORATION = "`*\"':"


def parse_edits(answer: str) -> ParsedAnswer:
    """Return the edits of an answer in order, without duplicates; text inside ``<think>`` is ignored.

    Fences are optional. The path is in a heading inside the fence or before it, in the line of the fence, or alone on
    the line before the fence. It applies to the end of the fence; an edit without a path is a problem.
    """
    lines = without_thinking(answer.replace("\r\n", "\n")).split("\n")
    edits: list[Edit] = []
    problems: list[str] = []
    path: str | None = None
    fenced = False
    last = ""  # the last line with text, outside edits
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if start := _START.fullmatch(line):
            found, number = _read_edit(lines, number, path, divider="=" * len(start["arrows"]))
            if isinstance(found, Edit):
                edits.append(found)
            else:
                problems.append(found)
        elif fence := _FENCE.fullmatch(line):
            fenced = bool(fence["info"].strip()) or not fenced  # a closing fence has nothing after it
            path = (_path_of_fence(fence["info"], last) or path) if fenced else None
        elif heading := _HEADING.fullmatch(line):
            path = _path_of_heading(heading["marks"], heading["text"]) or (path if fenced else None)
        if line.strip():
            last = line.strip()
    return ParsedAnswer(edits=tuple(dict.fromkeys(edits)), problems=tuple(problems))


def _read_edit(lines: list[str], number: int, path: str | None, *, divider: str) -> tuple[Edit | str, int]:
    """Return the edit that starts at line ``number``, or what is wrong with it, and the number of the next line."""
    first = number
    dividers: list[int] = []
    while number < len(lines) and not _END.fullmatch(lines[number]):
        if _START.fullmatch(lines[number]):
            return f"edit of {path}: a second SEARCH before the REPLACE of the first", number
        if lines[number].rstrip() == divider:
            dividers.append(number)
        number += 1
    if number == len(lines):
        return f"edit of {path}: no >>>>>>> REPLACE at its end", number
    if len(dividers) != 1:
        return f"edit of {path}: {len(dividers)} lines of ======= where one is meant", number + 1
    if path is None:
        return f"an edit without a path: {' '.join(lines[first : first + 1])[:80]!r}", number + 1
    search, new = lines[first : dividers[0]], lines[dividers[0] + 1 : number]
    return Edit(path=path, search=_joined(search), replace=_joined(new)), number + 1


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _path_of_heading(marks: str, text: str) -> str | None:
    """Return the path in ``### path``; after other marks (a comment in the code?) only text that cannot be a word."""
    path = text.strip(_DECORATION)
    return path if not re.search(r"\s", path) and (marks == "###" or "/" in path or "." in path) else None


def _path_of_fence(info: str, line_before: str) -> str | None:
    """Return the path in the line of a fence (after the language, if any), or alone on the line before it."""
    words = info.replace(":", " ").split()
    if words and _BARE_PATH.fullmatch(words[-1].strip(_DECORATION)):
        return words[-1].strip(_DECORATION)
    bare = line_before.strip(_DECORATION)
    return bare if _BARE_PATH.fullmatch(bare) else None


# --- applying ------------------------------------------------------------------------------------------------------


def apply_edits(edits: Iterable[Edit], read: Callable[[str], str | None]) -> Applied:
    """Apply edits in order, each to the result of the previous ones.

    ``read`` returns a file's text by its path in the repository, None if there is no such text file.

    >>> edit = Edit(path="a/one.py", search="x = 1\\n", replace="x = 2\\n")
    >>> applied = apply_edits([edit], {"one.py": "x = 1\\ny = 1\\n"}.get)
    >>> applied.files, str(applied.outcomes[0])
    ({'one.py': 'x = 2\\ny = 1\\n'}, 'one.py: applied')
    """
    before: dict[str, str | None] = {}
    now: dict[str, str] = {}  # with plain newlines while edits are applied
    outcomes: list[EditOutcome] = []

    def current(path: str) -> str | None:
        if path not in before:
            before[path] = text = read(path)
            if text is not None:
                now[path] = text.replace("\r\n", "\n") if _has_dos_ends(text) else text
        return now.get(path)

    for edit in edits:
        outcome, text = _apply(edit, current)
        outcomes.append(outcome)
        if outcome.path is not None and outcome.refused is None:
            now[outcome.path] = text
    dos = {path for path, text in before.items() if text and _has_dos_ends(text)}
    after = {path: text.replace("\n", "\r\n") if path in dos else text for path, text in now.items()}
    changed = {path: text for path, text in after.items() if text != before[path]}
    rejected = _reason_to_reject(changed, before)
    return Applied(
        files={} if rejected else changed,
        before={} if rejected else {path: old for path in changed if (old := before[path]) is not None},
        outcomes=tuple(outcomes),
        rejected=rejected,
    )


def _has_dos_ends(text: str) -> bool:
    """Return whether every line ends with CR LF."""
    return "\r\n" in text and "\n" not in text.replace("\r\n", "")


def _apply(edit: Edit, current: Callable[[str], str | None]) -> tuple[EditOutcome, str]:
    """Return the result of an edit, and the file's new text."""
    path = _locate(edit.path, current)
    if path is None:
        return EditOutcome(edit=edit, path=None, refused="not a path inside the repository"), ""
    text = current(path)
    if text is None and edit.search:
        return EditOutcome(edit=edit, path=path, refused="there is no such file"), ""
    if edit.search == edit.replace:
        return EditOutcome(edit=edit, path=path, refused="it changes nothing"), ""
    if not edit.search:
        if text is not None and text.strip():
            why = "SEARCH is empty, and the file has text in it"
            return EditOutcome(edit=edit, path=path, refused=why), ""
        return EditOutcome(edit=edit, path=path, occurrences=1), edit.replace
    new, occurrences = _replace(text or "", edit)
    if not occurrences:
        return EditOutcome(edit=edit, path=path, refused="SEARCH does not occur in the file"), ""
    return EditOutcome(edit=edit, path=path, occurrences=occurrences), new


def _locate(written: str, current: Callable[[str], str | None]) -> str | None:
    """Return the path in the repository: as written, or without ``a/`` or ``b/`` if only that is a file."""
    path = posixpath.normpath(written.removeprefix(f"{ROOT}/"))
    parts = path.split("/")
    if path.startswith("/") or parts[0] == ".." or ".git" in parts or path == ".":
        return None
    if parts[0] in ("a", "b") and len(parts) > 1 and current(path) is None:
        stripped = "/".join(parts[1:])
        if current(stripped) is not None:
            return stripped
    return path


def _replace(text: str, edit: Edit) -> tuple[str, int]:
    """Return the text with every occurrence replaced, and their number."""
    if not text:
        return text, 0
    open_end = not text.endswith("\n")
    whole = "\n" + text + ("\n" if open_end else "")  # every line is between two newlines
    pieces = _split_at_lines(whole, edit.search)
    if len(pieces) > 1:
        new = edit.replace.join(pieces)[1:]
        return new[:-1] if open_end and new.endswith("\n") else new, len(pieces) - 1
    part = edit.search[:-1]
    return (text.replace(part, edit.replace[:-1]), text.count(part)) if part else (text, 0)


def _split_at_lines(text: str, search: str) -> list[str]:
    """Split like ``text.split(search)``, but only where ``search`` starts a line."""
    pieces, start = [], 0
    at = text.find("\n" + search)
    while at != -1:
        pieces.append(text[start : at + 1])
        start = at + 1 + len(search)
        at = text.find("\n" + search, start - 1)
    return [*pieces, text[start:]]


def _reason_to_reject(changed: Mapping[str, str], before: Mapping[str, str | None]) -> str | None:
    for path, text in changed.items():
        error = syntax_error(text) if path.endswith(".py") else None
        # A file that Python could not parse before (another version's syntax, a template) is not checked.
        if error and not syntax_error(before[path] or ""):
            return f"{path} would have a syntax error: {error}"
    same = [_without_blank(text) == _without_blank(before[p] or "") for p, text in changed.items()]
    if same and all(same):
        return "only blank lines would change"
    return None


def _without_blank(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]
