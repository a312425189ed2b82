"""A repository's files as an indented tree, within a budget."""

from collections.abc import Iterable, Mapping
from typing import Any

_INDENT = "  "
Folder = Mapping[str, Any]  # name -> Folder; a file is None


def render_tree(paths: Iterable[str], max_chars: int) -> str:
    """The tree; where it is too long, folders from some depth on give the number of their files only.

    A tree whose first level is too long is cut, and the cut is said.

    >>> print(render_tree(["b/c/x.py", "b/c/y.py", "a.py"], 22))
    b/
      c/ [2 files]
    a.py
    """
    root: dict[str, Any] = {}
    deepest = 0
    for path in paths:
        *folders, name = path.split("/")
        place = root
        for folder in folders:
            place = place.setdefault(f"{folder}/", {})
        place[name] = None
        deepest = max(deepest, len(folders))
    for depth in range(deepest, -1, -1):
        text = "\n".join(_lines(root, depth, ""))
        if len(text) <= max_chars:
            return text
    shown = text[:max_chars].rpartition("\n")[0]
    return f"{shown}\n[{text.count(chr(10)) - shown.count(chr(10))} more entries are not shown]"


def _lines(folder: Folder, depth: int, indent: str) -> Iterable[str]:
    """``depth``: levels of folders that are opened."""
    for name, inner in sorted(folder.items(), key=lambda item: (item[1] is None, item[0])):
        if inner is None:
            yield indent + name
        elif depth == 0:
            yield f"{indent}{name} [{_count(inner)} files]"
        else:
            yield indent + name
            yield from _lines(inner, depth - 1, indent + _INDENT)


def _count(folder: Folder) -> int:
    return sum(1 if inner is None else _count(inner) for inner in folder.values())
