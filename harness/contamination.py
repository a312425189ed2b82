"""Whether what is evaluated was trained on: how much of a test task's text stands in a training text."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """A test task, and the training text that holds the most of it."""

    test: str
    train: str
    share: float  # of the test task's runs of words; 1: all of it


def overlaps(
    tests: Mapping[str, str], train: Iterable[tuple[str, str]], *, words: int = 8, share: float = 0.5
) -> list[Overlap]:
    """Test tasks (text by id) of whose runs of ``words`` words at least ``share`` stand in one training text.

    Case, punctuation and white space do not count. Runs of 8 words as in the checks of s1K (arXiv 2501.19393); a
    share of them, because competition problems have turns of phrase in common ("where m and n are relatively prime
    positive integers, find …"). A text of fewer words is one run, and one without any
    is in no other.

    >>> overlaps({"t": "What is 2 + 2?"}, [("a", "Tell me: what is 2+2")], words=3)
    [Overlap(test='t', train='a', share=1.0)]
    """
    own = {name: _runs(text, words) for name, text in tests.items()}
    where: dict[tuple[str, ...], list[str]] = {}
    for name, runs in own.items():
        for run in runs:
            where.setdefault(run, []).append(name)
    lengths = {len(run) for run in where}
    best: dict[str, Overlap] = {}
    for train_name, text in train:
        tokens = _words(text)
        present = {run for length in lengths for run in _cut(tokens, length)} & where.keys()
        for name, count in Counter(name for run in present for name in where[run]).items():
            covered = count / len(own[name])
            if covered >= share and (name not in best or covered > best[name].share):
                best[name] = Overlap(test=name, train=train_name, share=covered)
    return [best[name] for name in tests if name in best]


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _runs(text: str, length: int) -> set[tuple[str, ...]]:
    tokens = _words(text)
    if not tokens:
        return set()
    return set(_cut(tokens, length)) if len(tokens) >= length else {tokens}


def _cut(tokens: tuple[str, ...], length: int) -> Iterable[tuple[str, ...]]:
    return (tokens[start : start + length] for start in range(len(tokens) - length + 1))
