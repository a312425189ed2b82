"""Majority vote over changes that are equal up to white space and comments."""

import ast
from collections.abc import Mapping, Sequence

from srl_agent.scaffolds.python_source import parse_python
from srl_agent.scaffolds.search_replace import Applied

Key = frozenset[tuple[str, str]]  # (path, normal form of its new text)


def normal_form(path: str, text: str) -> str:
    """Return a Python text without white space and comments, in a form for comparison; other texts unchanged.

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
    """Return the form in which changes are compared; files with an unchanged normal form are not part of it."""
    return frozenset(
        (path, form)
        for path, text in files.items()
        if (form := normal_form(path, text)) != (normal_form(path, before[path]) if path in before else None)
    )


def choose(samples: Sequence[Applied]) -> tuple[int | None, int]:
    """Return the index of the first sample with the most frequent change, and the number of samples with it.

    Of equally frequent changes the earliest wins. Samples that change nothing, or only white space and comments, have
    no vote; (None, 0) if none has a vote.
    """
    keys = [change_key(sample.files, sample.before) for sample in samples]
    voters = [key for key in keys if key]
    if not voters:
        return None, 0
    winner = max(voters, key=voters.count)  # the first of the largest
    return keys.index(winner), voters.count(winner)
