"""Split patches and remove what may not enter the verifier's sandbox: pure text work, nothing is applied here."""

import hashlib
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

# Files through which a patch could change how it is graded.
_PYTEST_FILES = frozenset({"conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", ".coveragerc"})
_HOOK_FILES = _PYTEST_FILES | {"sitecustomize.py", "usercustomize.py"}
# Files with other uses: they are a hook only if the change configures the test runner.
_SHARED_FILES = frozenset({"setup.cfg", "pyproject.toml", "setup.py"})
_HOOK_WORDS = re.compile(
    r"^\s*\[+(?:tool[:.])?(?:pytest|nosetests|unittest)|pytest11|\.pth\b|"
    r"^\s*(?:addopts|testpaths|python_(?:files|classes|functions)|usefixtures|norecursedirs|collect_ignore\w*)\b",
    re.M,
)

_SYMLINK_MODE = "120000"


@dataclass(frozen=True, kw_only=True)
class FilePatch:
    """The part of a patch that changes one file."""

    old: str | None  # path before; None: the file is new
    new: str | None  # path after; None: the file is removed
    text: str

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(path for path in (self.old, self.new) if path is not None))

    @property
    def added(self) -> str:
        lines = self.text.split("\n")
        return "\n".join(line[1:] for line in lines if line.startswith("+") and not line.startswith("+++"))

    @property
    def changed(self) -> str:
        """Added and removed lines."""
        lines = [line for line in self.text.split("\n") if not line.startswith(("+++ ", "--- "))]
        return "\n".join(line[1:] for line in lines if line[:1] in ("+", "-"))

    @property
    def is_symlink(self) -> bool:
        return bool(re.search(rf"^(?:new file mode|new mode|index .*) ?{_SYMLINK_MODE}$", self.text, re.M))


@dataclass(frozen=True, kw_only=True)
class Stripped:
    """A part of a patch that was removed, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CleanPatch:
    """The patch that is graded, and the parts that were removed."""

    text: str  # empty, or ends with a newline
    stripped: tuple[Stripped, ...]

    @property
    def digest(self) -> str:
        """Key of the patch's verdict."""
        return patch_digest(self.text)


def patch_digest(text: str) -> str:
    """Return the sha256 of a patch, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()


def clean_patch(patch: str, *, test_files: Sequence[str]) -> CleanPatch:
    """Remove what a patch may not change: test hooks, files of the test patch, paths outside of the repository.

    >>> clean_patch("--- a/conftest.py\\n+++ b/conftest.py\\n@@ -1 +1 @@\\n-a\\n+b\\n", test_files=[]).text
    ''
    """
    patch = patch.replace("\r\n", "\n") if _is_crlf_throughout(patch) else patch
    kept: list[str] = []
    stripped: list[Stripped] = []
    for part in split_patch(patch):
        reason = _reason_to_strip(part, frozenset(test_files))
        if reason is None:
            kept.append(part.text if part.text.endswith("\n") else part.text + "\n")
        else:
            stripped.append(Stripped(path=(part.paths or ("?",))[-1], reason=reason))
    return CleanPatch(text="".join(kept), stripped=tuple(stripped))


def _is_crlf_throughout(patch: str) -> bool:
    """Return whether headers end in CRLF too, as after a Windows text file; CRLF in the content alone is kept."""
    headers = re.findall(r"^(?:--- |\+\+\+ |@@ ).*$", patch, re.M)
    return bool(headers) and all(line.endswith("\r") for line in headers)


def _reason_to_strip(part: FilePatch, test_files: frozenset[str]) -> str | None:
    if not part.paths:
        return "no path can be read from it"
    for path in part.paths:
        parts = path.split("/")
        name = parts[-1]
        if path.startswith("/") or ".." in parts:
            return "path outside of the repository"
        if ".git" in parts:
            return "git's own files"
        if posixpath.normpath(path) in test_files:
            return "file of the test patch"
        if name in _HOOK_FILES or name.endswith(".pth"):
            return "test hook"
        if name in _SHARED_FILES and _HOOK_WORDS.search(part.changed):
            return "test hook"
    if part.is_symlink and _leaves_the_tree(part):
        return "symbolic link out of the repository"
    return None


def _leaves_the_tree(part: FilePatch) -> bool:
    target = part.added.strip("\n")
    if not target or part.new is None:
        return False
    end = posixpath.normpath(posixpath.join(posixpath.dirname(part.new), target))
    return target.startswith("/") or end.startswith("..") or ".git" in end.split("/")


_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def split_patch(patch: str) -> Iterator[FilePatch]:
    """Yield the parts of a unified diff, one per file, in order; text before the first is dropped.

    Lines inside a hunk are counted, so that content which looks like a header is not taken for one.
    """
    lines = patch.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    starts: list[int] = []
    old_left = new_left = 0
    in_git_header = False
    for number, line in enumerate(lines):
        if old_left > 0 or new_left > 0:
            old_left -= line[:1] in (" ", "-", "")
            new_left -= line[:1] in (" ", "+", "")
        elif match := _HUNK.match(line):
            old_left, new_left = (int(count) if count is not None else 1 for count in match.groups())
            in_git_header = False
        elif line.startswith("diff --git "):
            starts.append(number)
            in_git_header = True
        elif line.startswith("--- ") and "".join(lines[number + 1 : number + 2]).startswith("+++ "):
            if not in_git_header:
                starts.append(number)
            in_git_header = False
    for start, end in pairwise([*starts, len(lines)]):
        yield _file_patch(lines[start:end])


def _file_patch(lines: Sequence[str]) -> FilePatch:
    header = list(takewhile(lambda line: not line.startswith("@@ "), lines))
    old = _header_path(header, "--- ", "rename from ", "copy from ")
    new = _header_path(header, "+++ ", "rename to ", "copy to ")
    if old is None and new is None and header and header[0].startswith("diff --git "):
        old = new = _same_path(header[0])  # a change of mode or a binary file: no other line names it
        if any(line.startswith("new file mode") for line in header):
            old = None
        elif any(line.startswith("deleted file mode") for line in header):
            new = None
    old, new = (None if path == "/dev/null" else path for path in (old, new))
    return FilePatch(old=old, new=new, text="\n".join(lines) + "\n")


def _header_path(header: Sequence[str], marker: str, *others: str) -> str | None:
    for line in header:
        if line.startswith(marker):
            path = _unquoted(line[len(marker) :].partition("\t")[0])
            return path if path == "/dev/null" else re.sub(r"^[abciow]/", "", path)
    for line in header:
        for other in others:
            if line.startswith(other):
                return _unquoted(line[len(other) :])
    return None


def _same_path(line: str) -> str | None:
    """Return the path X of ``diff --git a/X b/X``."""
    rest = line.removeprefix("diff --git ")
    if rest.startswith('"'):
        found = re.match(r'("(?:[^"\\]|\\.)*")', rest)
        return re.sub(r"^[abciow]/", "", _unquoted(found[1])) if found else None
    half = (len(rest) - 1) // 2
    left, right = rest[:half], rest[half + 1 :]
    return left[2:] if left[2:] == right[2:] else None


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unquoted(path: str) -> str:
    """Decode a path that git quotes as a C string for its unusual characters."""
    path = path.rstrip("\r")
    if not (len(path) > 1 and path[0] == path[-1] == '"'):
        return path
    raw = bytearray()
    for piece in re.findall(r"\\[0-7]{3}|\\.|[^\\]", path[1:-1]):
        if len(piece) == 4 and piece[0] == "\\":
            raw.append(int(piece[1:], 8) & 0xFF)
        else:
            raw += (_ESCAPES.get(piece[1], piece[1]) if piece[0] == "\\" else piece).encode()
    return raw.decode("utf-8", errors="surrogateescape")
