"""Figures of solved tasks against textbook values."""

import itertools
import math

import pytest

from harness.statistics.binomial import compare, mean_pass_at_k, p_words, pass_at_k, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_the_published_one(successes: int, n: int, low: float, high: float) -> None:
    rate = wilson(successes, n)
    assert (round(rate.low, 4), round(rate.high, 4)) == (low, high)
    assert rate.low <= rate.share <= rate.high


@pytest.mark.parametrize("pair", [(1, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(*pair)


def test_pass_at_k_is_the_share_of_draws_with_a_success() -> None:
    outcomes = [True, False, False, True, False]
    for k in range(1, 6):
        draws = list(itertools.combinations(outcomes, k))
        assert math.isclose(pass_at_k(5, 2, k), sum(map(any, draws)) / len(draws))
    assert mean_pass_at_k([(2, 1), (2, 0)], 1) == 0.25
    with pytest.raises(ValueError, match="pass@3"):
        pass_at_k(2, 1, 3)


def test_mcnemar_counts_only_where_the_runs_differ() -> None:
    first = {str(i): i < 5 for i in range(30)}
    second = {str(i): i < 5 or i >= 20 for i in range(31)}
    found = compare(first, second)
    assert (found.n, found.only_first, found.only_second) == (30, 0, 10)
    assert math.isclose(found.p_value, 2 / 2**10)
    assert found.verdict == "above"
    assert compare(second, first).verdict == "below"
    assert compare(first, first).p_value == 1.0
    with pytest.raises(ValueError, match="no judged task in common"):
        compare({"a": True}, {"b": True})


def test_a_small_p_is_not_zero() -> None:
    assert [p_words(p) for p in (1.0, 0.05, 0.001, 0.0009, 0.0)] == [
        "p = 1.000", "p = 0.050", "p = 0.001", "p < 0.001", "p < 0.001",
    ]  # fmt: skip
