"""The paper's reward: ``difflib.SequenceMatcher(...).ratio()`` of two texts, exact and fast.

R = 2M/T, where T is the summed length of both texts and M that of the matching blocks (arXiv 2510.25992, section 3).
The ratio is not symmetric: everywhere the candidate comes first and the expert second.
"""

import difflib
import re
import zlib
from collections import Counter
from collections.abc import Sequence

import cydifflib
import difflib_fast

# difflib-fast takes time and memory quadratic in the length of a repetition that both texts share (20,000 equal
# letters on both sides: 777 MB). Above this product of lengths a repetitive pair is computed by cydifflib.
_REPETITIVE_PRODUCT = 10_000_000
_REPETITIVE_DEFLATE = 0.05  # compressed size over size


def similarity(candidate: str, expert: str, *, autojunk: bool = False) -> float:
    """Return the ratio, in [0, 1]; equal to ``difflib.SequenceMatcher(None, candidate, expert, autojunk).ratio()``.

    >>> similarity("ls /testbed", "ls /testbed/src")
    0.8461538461538461
    """
    return similarities([(candidate, expert)], autojunk=autojunk)[0]


def similarities(pairs: Sequence[tuple[str, str]], *, autojunk: bool = False) -> list[float]:
    """Return :func:`similarity` of (candidate, expert) pairs, computed on all cores.

    ``autojunk`` is difflib's default and distorts texts of 200 characters and more; it is here for comparison.
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
    """Return the standard library's ratio, against which :func:`similarity` is tested."""
    return difflib.SequenceMatcher(None, candidate, expert, autojunk).ratio()


def _rescale(ratio: float, shortened: int, total: int) -> float:
    """Return the ratio over the original length, exactly: M is an integer."""
    if shortened == total:
        return ratio
    matches = round(ratio * shortened / 2.0)
    return 2.0 * matches / total


def shorten_runs(text: str, other: str) -> str:
    """Cut each run of one character to one more than ``other`` has of that character.

    Number and sizes of the matching blocks do not change: every matched character of a run uses up one of the other
    text, blocks take a run from its ends, and so a run longer than what the other text holds never ends.
    """
    if not _LONG_RUN.search(text):
        return text
    available = Counter(other)
    return _LONG_RUN.sub(lambda run: run[0][: available[run[1]] + 1], text)


_LONG_RUN = re.compile(r"(.)\1{15,}", re.DOTALL)


def _is_safe(a: str, b: str) -> bool:
    """Return whether difflib-fast can compute the pair: no lone surrogates, no huge shared repetition."""
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
    """Return M for a text of one repeated letter: the longest runs of the other text, each right of the last.

    difflib takes the longest block that starts earliest. It starts where the letters start, so nothing to its left can
    match, and the search continues to its right. Both orders of the arguments give the same blocks.
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
