"""The paper's reward: ``difflib.SequenceMatcher(...).ratio()`` of two texts, exact and fast.

R = 2M/T, T the summed length of both texts, M the summed length of the matching blocks (arXiv 2510.25992,
section 3). The ratio is not symmetric: the candidate comes first, the expert second, everywhere.
"""

import difflib
import re
import zlib
from collections import Counter
from collections.abc import Sequence

import cydifflib
import difflib_fast

# difflib-fast needs time and memory quadratic in the length of a repetition that both texts share (20,000 equal
# letters on both sides: 777 MB). Above this product of lengths a repetitive pair goes to cydifflib.
_REPETITIVE_PRODUCT = 10_000_000
_REPETITIVE_DEFLATE = 0.05  # deflated size over size


def similarity(candidate: str, expert: str, *, autojunk: bool = False) -> float:
    """Ratio in [0, 1]; equal to ``difflib.SequenceMatcher(None, candidate, expert, autojunk).ratio()``.

    >>> similarity("ls /testbed", "ls /testbed/src")
    0.8461538461538461
    """
    return similarities([(candidate, expert)], autojunk=autojunk)[0]


def similarities(pairs: Sequence[tuple[str, str]], *, autojunk: bool = False) -> list[float]:
    """:func:`similarity` of (candidate, expert) pairs, over all cores.

    ``autojunk`` is difflib's own default and distorts texts of 200 characters and more; it is here to compare.
    """
    if autojunk:
        return [cydifflib.SequenceMatcher(None, a, b, True).ratio() for a, b in pairs]
    results: list[float | None] = []
    fast: list[tuple[str, str]] = []
    lengths: list[tuple[int, int]] = []  # (summed length of the shortened, of the original texts)
    for candidate, expert in pairs:
        total = len(candidate) + len(expert)
        if candidate == expert:
            results.append(1.0)
            continue
        a = shorten_runs(candidate, expert)
        b = shorten_runs(expert, a)
        if _is_safe(a, b):
            results.append(None)
            fast.append((a, b))
            lengths.append((len(a) + len(b), total))
        else:
            matches = _matches_with_blocks(a, b)
            results.append(2.0 * matches / total)
    computed = iter(difflib_fast.ratio(fast)) if fast else iter(())
    scaled = iter(lengths)
    return [value if value is not None else _rescale(next(computed), *next(scaled)) for value in results]


def reference_similarity(candidate: str, expert: str, *, autojunk: bool = False) -> float:
    """The standard library's answer: what :func:`similarity` is tested against."""
    return difflib.SequenceMatcher(None, candidate, expert, autojunk).ratio()


def _rescale(ratio: float, shortened: int, total: int) -> float:
    """The ratio over the original length; M is an integer, so nothing is lost."""
    if shortened == total:
        return ratio
    matches = round(ratio * shortened / 2.0)
    return 2.0 * matches / total


def shorten_runs(text: str, other: str) -> str:
    """``text`` with each run of one character cut to one more than ``other`` has of that character.

    The matching blocks stay the same in number and size: every matched character of a run uses up one of the
    other text, blocks take a run from its ends, and so a run longer than what the other text holds never ends.
    """
    if not _LONG_RUN.search(text):
        return text
    available = Counter(other)
    return _LONG_RUN.sub(lambda run: run[0][: available[run[1]] + 1], text)


_LONG_RUN = re.compile(r"(.)\1{15,}", re.DOTALL)


def _is_safe(a: str, b: str) -> bool:
    """Whether difflib-fast can take the pair: no lone surrogates, no huge shared repetition."""
    try:
        encoded = (a.encode(), b.encode())
    except UnicodeEncodeError:
        return False
    if len(a) * len(b) < _REPETITIVE_PRODUCT:
        return True
    return not all(len(zlib.compress(text, 1)) < _REPETITIVE_DEFLATE * len(text) for text in encoded)


def _matches_with_blocks(a: str, b: str) -> int:
    for one, other in ((a, b), (b, a)):
        if len(set(one)) == 1:
            return _matches_of_one_letter(one, other)
    blocks = cydifflib.SequenceMatcher(None, a, b, False).get_matching_blocks()
    return sum(int(block.size) for block in blocks)


def _matches_of_one_letter(letters: str, other: str) -> int:
    """M where one text is a single letter repeated: longest runs of the other text, each right of the last.

    difflib takes the longest block that starts earliest; it starts where the letters start, so nothing is left of
    it to match and the search goes on to its right. Both orders of the arguments give the same blocks.
    """
    runs = [(match.start(), len(match[0])) for match in re.finditer(re.escape(letters[0]) + "+", other)]
    remaining, matches, position = len(letters), 0, 0
    while remaining and (rest := [run for run in runs if run[0] >= position]):
        start, length = max(rest, key=lambda run: (min(run[1], remaining), -run[0]))
        taken = min(length, remaining)
        matches += taken
        remaining -= taken
        position = start + taken
    return matches
