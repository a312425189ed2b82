"""SEARCH/REPLACE edits: read from an answer, applied to texts. No I/O of its own.

An answer holds blocks as in FORM, with one edit or several under a path.

The rules are those of Agentless-mini (SWE-RL, arXiv 2502.18449), the scaffold that the paper's figures come from:
SEARCH has to occur in the file and **every** occurrence is replaced; edits that do not fit are left out and the
others count; a syntax error, or a change of blank lines only, leaves nothing of the answer. Where it reads SEARCH
as any part of the text, here whole lines come first, and parts of lines only if no whole lines fit.
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
lines that are in the file
=======
the lines in their place
>>>>>>> REPLACE
```"""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Both texts are whole lines, each with its newline; empty means no line."""

    path: str  # as the answer wrote it
    search: str  # empty: the file is new
    replace: str


@dataclass(frozen=True, kw_only=True)
class ParsedAnswer:
    edits: tuple[Edit, ...]
    problems: tuple[str, ...]  # what looked like an edit and could not be read as one


@dataclass(frozen=True, kw_only=True)
class EditOutcome:
    """What became of an edit."""

    edit: Edit
    path: str | None  # the file in the repository; None: there is none
    occurrences: int = 0  # that were replaced; a new file counts as one
    refused: str | None = None  # why it does not count

    def __str__(self) -> str:
        where = self.path or self.edit.path
        if self.refused is not None:
            return f"{where}: not applied: {self.refused}"
        return f"{where}: applied" + (f" at {self.occurrences} places" if self.occurrences > 1 else "")


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The texts after the edits."""

    files: Mapping[
        str, str
    ]  # new text by path, of the files that change; empty: nothing of the answer counts
    before: Mapping[str, str]  # their old texts; new files are not among them
    outcomes: tuple[EditOutcome, ...]
    rejected: str | None = None  # why nothing counts although edits fit


# --- reading an answer ---------------------------------------------------------------------------------------------

_START = re.compile(r"(?P<arrows><{5,9}) ?SEARCH\s*")
_END = re.compile(r">{5,9} ?REPLACE\s*")
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})(?P<info>[^`]*)")
_HEADING = re.compile(r"\s*(?P<marks>#{1,6})\s*(?P<text>.*\S)\s*")
_BARE_PATH = re.compile(r"(?:[\w.@+-]+/)*[\w.@+-]+\.\w+:?")
_DECORATION = "`*\"':"


def parse_edits(answer: str) -> ParsedAnswer:
    """The edits of an answer in order, the same one once; what stands inside ``<think>`` never counts.

    Fences may be missing. The path stands in a heading inside the fence or before it, in the fence's own line, or
    alone on the line before the fence. It holds to the end of the fence; an edit without one is a problem.
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
            fenced = bool(fence["info"].strip()) or not fenced  # a fence that closes has nothing behind it
            path = (_path_of_fence(fence["info"], last) or path) if fenced else None
        elif heading := _HEADING.fullmatch(line):
            path = _path_of_heading(heading["marks"], heading["text"]) or (path if fenced else None)
        if line.strip():
            last = line.strip()
    return ParsedAnswer(edits=tuple(dict.fromkeys(edits)), problems=tuple(problems))


def _read_edit(lines: list[str], number: int, path: str | None, *, divider: str) -> tuple[Edit | str, int]:
    """The edit whose first line is ``number``, or what is wrong with it, and the line after it."""
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
    """``### path``; with other marks (a comment in the code, say) only what cannot be a word."""
    path = text.strip(_DECORATION)
    return path if not re.search(r"\s", path) and (marks == "###" or "/" in path or "." in path) else None


def _path_of_fence(info: str, line_before: str) -> str | None:
    """The path in a fence's own line (after the language, if any), or alone on the line before it."""
    words = info.replace(":", " ").split()
    if words and _BARE_PATH.fullmatch(words[-1].strip(_DECORATION)):
        return words[-1].strip(_DECORATION)
    bare = line_before.strip(_DECORATION)
    return bare if _BARE_PATH.fullmatch(bare) else None


# --- applying ------------------------------------------------------------------------------------------------------


def apply_edits(edits: Iterable[Edit], read: Callable[[str], str | None]) -> Applied:
    """Apply edits in order, each to what the ones before it left.

    ``read`` gives a file's text by its path in the repository, None where there is no such text file.

    >>> edit = Edit(path="a/one.py", search="x = 1\\n", replace="x = 2\\n")
    >>> applied = apply_edits([edit], {"one.py": "x = 1\\ny = 1\\n"}.get)
    >>> applied.files, str(applied.outcomes[0])
    ({'one.py': 'x = 2\\ny = 1\\n'}, 'one.py: applied')
    """
    before: dict[str, str | None] = {}
    now: dict[str, str] = {}  # line ends are plain newlines while edits are applied
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
    after = {
        path: text.replace("\n", "\r\n") if _has_dos_ends(before[path] or "") else text
        for path, text in now.items()
    }
    changed = {path: text for path, text in after.items() if text != before[path]}
    rejected = _reason_to_reject(changed, before)
    return Applied(
        files={} if rejected else changed,
        before={} if rejected else {path: old for path in changed if (old := before[path]) is not None},
        outcomes=tuple(outcomes),
        rejected=rejected,
    )


def _has_dos_ends(text: str) -> bool:
    """Every line ends with CR LF."""
    return "\r\n" in text and "\n" not in text.replace("\r\n", "")


def _apply(edit: Edit, current: Callable[[str], str | None]) -> tuple[EditOutcome, str]:
    """What becomes of an edit, and the file's new text."""
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
            return EditOutcome(
                edit=edit, path=path, refused="SEARCH is empty, and the file has text in it"
            ), ""
        return EditOutcome(edit=edit, path=path, occurrences=1), edit.replace
    new, occurrences = _replace(text or "", edit)
    if not occurrences:
        return EditOutcome(edit=edit, path=path, refused="SEARCH does not occur in the file"), ""
    return EditOutcome(edit=edit, path=path, occurrences=occurrences), new


def _locate(written: str, current: Callable[[str], str | None]) -> str | None:
    """The path in the repository that an answer means: as it is, without ``a/`` or ``b/`` if only that is a file."""
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
    """The text with every occurrence replaced, and how many there were."""
    if not text:
        return text, 0
    open_end = not text.endswith("\n")
    whole = "\n" + text + ("\n" if open_end else "")  # every line between two newlines
    pieces = _split_at_lines(whole, edit.search)
    if len(pieces) > 1:
        new = edit.replace.join(pieces)[1:]
        return new[:-1] if open_end and new.endswith("\n") else new, len(pieces) - 1
    part = edit.search[:-1]
    return (text.replace(part, edit.replace[:-1]), text.count(part)) if part else (text, 0)


def _split_at_lines(text: str, search: str) -> list[str]:
    """``text.split(search)``, but only where ``search`` starts a line."""
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
        # A file that Python could not read before (another version's syntax, a template) is not judged.
        if error and not syntax_error(before[path] or ""):
            return f"{path} would have a syntax error: {error}"
    if changed and all(
        _without_blank(text) == _without_blank(before[p] or "") for p, text in changed.items()
    ):
        return "only blank lines would change"
    return None


def _without_blank(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]
