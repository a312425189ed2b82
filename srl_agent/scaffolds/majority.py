"""Which of several changes most samples made, apart from white space and comments."""

import ast
from collections.abc import Mapping, Sequence

from srl_agent.scaffolds.python_source import parse_python
from srl_agent.scaffolds.search_replace import Applied

Key = frozenset[tuple[str, str]]  # (path, normal form of its new text)


def normal_form(path: str, text: str) -> str:
    """What stays of a text without white space and comments where it is Python; any other text as it is.

    >>> normal_form("a.py", "x = 1  # one") == normal_form("a.py", "x=1")
    True
    """
    if path.endswith(".py"):
        try:
            return ast.dump(parse_python(text))
        except (SyntaxError, RecursionError):
            pass
    return text


def change_key(files: Mapping[str, str], before: Mapping[str, str]) -> Key:
    """The change as it is compared: files whose normal form stays are not part of it."""
    return frozenset(
        (path, form)
        for path, text in files.items()
        if (form := normal_form(path, text)) != (normal_form(path, before[path]) if path in before else None)
    )


def choose(samples: Sequence[Applied]) -> tuple[int | None, int]:
    """Index of the sample that stands for the change most samples made, and how many made it.

    The earliest wins: of the samples with that change, and of changes with as many votes. Samples that change
    nothing, or only white space and comments, have no vote; (None, 0) if none has.
    """
    keys = [change_key(sample.files, sample.before) for sample in samples]
    voters = [key for key in keys if key]
    if not voters:
        return None, 0
    winner = max(voters, key=voters.count)  # the first of the largest
    return keys.index(winner), voters.count(winner)
