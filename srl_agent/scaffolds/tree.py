"""A repository's files as an indented tree, within a budget."""

from collections.abc import Iterable
from dataclasses import dataclass, field

_INDENT = "  "


@dataclass
class _Folder:
    folders: dict[str, "_Folder"] = field(default_factory=dict)  # by name with a slash
    files: set[str] = field(default_factory=set)

    def lines(self, depth: int, indent: str = "") -> Iterable[str]:
        """Yield lines, folders first; ``depth``: levels of folders that are opened."""
        for name, inner in sorted(self.folders.items()):
            if depth == 0:
                yield f"{indent}{name} [{inner.count()} files]"
            else:
                yield indent + name
                yield from inner.lines(depth - 1, indent + _INDENT)
        yield from (indent + name for name in sorted(self.files))

    def count(self) -> int:
        """Return the number of files, also in folders below."""
        return len(self.files) + sum(folder.count() for folder in self.folders.values())


def render_tree(paths: Iterable[str], max_chars: int) -> str:
    """Return the tree; if it is too long, folders from some depth on show only the number of their files.

    A tree whose first level is too long is cut, with a note.

    >>> print(render_tree(["b/c/x.py", "b/c/y.py", "a.py"], 22))
    b/
      c/ [2 files]
    a.py
    """
    root = _Folder()
    deepest = 0
    for path in paths:
        *folders, name = path.split("/")
        here = root
        for folder in folders:
            here = here.folders.setdefault(f"{folder}/", _Folder())
        here.files.add(name)
        deepest = max(deepest, len(folders))
    for depth in range(deepest, -1, -1):
        text = "\n".join(root.lines(depth))
        if len(text) <= max_chars:
            return text
    shown = text[:max_chars].rpartition("\n")[0]
    return f"{shown}\n[{text.count(chr(10)) - shown.count(chr(10))} more entries are not shown]"
