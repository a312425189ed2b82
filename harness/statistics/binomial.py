"""Shares of solved tasks: a confidence interval, the unbiased pass@k, and a test of two runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from harness.statistics.bootstrap import Conclusion, IntervalJson


class RateJson(IntervalJson):
    """A share in a report."""

    successes: int


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share and its Wilson interval."""

    share: float
    low: float
    high: float
    successes: int
    n: int

    def as_json(self) -> RateJson:
        n, successes = self.n, self.successes
        return {"mean": self.share, "low": self.low, "high": self.high, "successes": successes, "n": n}


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Rate:
    """Return the share of successes with the score interval of Wilson (1927), which also holds near 0 and 1.

    >>> rate = wilson(5, 10)
    >>> rate.share, round(rate.low, 4), round(rate.high, 4)
    (0.5, 0.2366, 0.7634)

    Raises ValueError unless 0 <= successes <= n and n > 0.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is no share")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Without successes (or failures) the interval ends at 0 (or 1) exactly; rounding must not exclude the share.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Rate(share=share, low=low, high=high, successes=successes, n=n)


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Return the chance that at least one of ``k`` samples drawn from ``samples`` (``correct`` of them) is correct.

    The unbiased estimator of Chen et al. (2021, arXiv 2107.03374, section 2.1).

    >>> pass_at_k(4, 1, 2)
    0.5

    Raises ValueError unless 1 <= k <= samples and 0 <= correct <= samples.
    """
    if not (1 <= k <= samples and 0 <= correct <= samples):
        raise ValueError(f"pass@{k} of {correct} correct in {samples} samples is not defined")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs on the same tasks."""

    n: int  # tasks that both judged
    only_first: int  # solved by the first run and not by the second
    only_second: int
    p_value: float  # exact McNemar test, two-sided
    verdict: Conclusion  # the second against the first


def compare(first: Mapping[str, bool], second: Mapping[str, bool], *, level: float = 0.05) -> Comparison:
    """Run the exact McNemar test (1947): a binomial test on the tasks that only one of the two runs solved.

    >>> compare({"a": True, "b": False}, {"a": True, "b": True}).verdict
    'too small to tell'

    Raises ValueError if they have no task in common.
    """
    common = first.keys() & second.keys()
    if not common:
        raise ValueError("the two runs have no judged task in common")
    only_first = sum(first[task] and not second[task] for task in common)
    only_second = sum(second[task] and not first[task] for task in common)
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, i) for i in range(min(only_first, only_second) + 1))
    p = min(1.0, 2 * tail / 2**discordant)
    verdict: Conclusion = "too small to tell"
    if p < level:
        verdict = "above" if only_second > only_first else "below"
    n = len(common)
    return Comparison(n=n, only_first=only_first, only_second=only_second, p_value=p, verdict=verdict)


def p_words(p_value: float) -> str:
    """Format a p-value.

    >>> p_words(0.0312), p_words(0.00002)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def mean_pass_at_k(correct_by_task: Sequence[tuple[int, int]], k: int) -> float:
    """Return the mean of :func:`pass_at_k` over tasks given as (samples, correct)."""
    values = [pass_at_k(samples, correct, k) for samples, correct in correct_by_task]
    return math.fsum(values) / len(values)
