"""Known values, simulated coverage, and the cases without an interval."""

import math
from typing import Any

import numpy as np
import pytest

from harness.statistics.bootstrap import (
    Interval,
    _student_t_quantile,
    cluster_bootstrap,
    conclusion,
    paired_difference,
    ratio_bootstrap,
    two_level_bootstrap,
    two_way_interval,
)
from tests.present import present


def interval(low: float | None, high: float | None) -> Interval:
    return Interval(mean=0.0, low=low, high=high, n=2, steps=2, unjudged=0)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (9, 2.2622),
        (10, 2.2281),
        (30, 2.0423),
        (5000, 1.9623),
    ],
)
def test_student_t_quantile_is_the_tables_value(degrees: int, expected: float) -> None:
    assert _student_t_quantile(0.95, degrees) == pytest.approx(expected, abs=1e-4)


def test_mean_is_over_steps_not_over_trajectories() -> None:
    result = cluster_bootstrap({"long": [0.0, 0.0, 0.0], "short": [1.0]})
    assert (result.mean, result.n, result.steps) == (0.25, 2, 4)


def test_unjudged_values_are_excluded_and_counted() -> None:
    result = cluster_bootstrap({"a": [0.5, None], "b": [1.0], "nothing": [None, None]})
    assert (result.mean, result.n, result.steps, result.unjudged) == (0.75, 2, 2, 3)


def test_interval_agrees_with_the_textbook_t_interval() -> None:
    """Clusters of one value: the expanded percentile interval approximates mean ± t s/sqrt(n)."""
    values = np.random.default_rng(3).normal(size=20)
    result = cluster_bootstrap({str(i): [float(v)] for i, v in enumerate(values)})
    half = 2.0930 * values.std(ddof=1) / math.sqrt(20)
    assert result.low == pytest.approx(values.mean() - half, abs=0.2 * half)
    assert result.high == pytest.approx(values.mean() + half, abs=0.2 * half)


@pytest.mark.parametrize("clusters", [6, 20])
def test_coverage_of_clustered_values(clusters: int) -> None:
    """Steps of a cluster share a level; an interval over single steps would cover about 60 %."""
    generator = np.random.default_rng(clusters)
    hits = 0
    for _ in range(400):
        levels = generator.normal(size=clusters)
        values = {str(i): list(generator.normal(level, 0.5, size=6)) for i, level in enumerate(levels)}
        result = cluster_bootstrap(values, resamples=800)
        assert result.low is not None
        assert result.high is not None
        hits += result.low <= 0 <= result.high
    assert 0.90 <= hits / 400 <= 0.985


def test_deterministic_and_independent_of_order() -> None:
    values: dict[str, list[float | None]] = {"a": [0.1, 0.4], "b": [0.9], "c": [0.3, None]}
    backwards = dict(reversed(values.items()))
    assert cluster_bootstrap(values, seed=5) == cluster_bootstrap(backwards, seed=5)
    assert cluster_bootstrap(values, seed=5) != cluster_bootstrap({**values, "d": [0.2]}, seed=5)


def test_one_trajectory_gives_a_mean_but_no_interval() -> None:
    result = cluster_bootstrap({"only": [0.2, 0.4]})
    assert result.as_json() == {"mean": pytest.approx(0.3), "low": None, "high": None, "n": 1}
    assert conclusion(result) == "too small to tell"


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [None]}])
def test_nothing_judged_is_an_error(values: dict[str, list[float | None]]) -> None:
    with pytest.raises(ValueError, match="no judged value"):
        cluster_bootstrap(values)


def test_nan_is_not_taken_for_unjudged() -> None:
    with pytest.raises(ValueError, match="'a' is not finite"):
        cluster_bootstrap({"a": [float("nan")]})


def test_paired_difference_removes_the_difficulty_of_a_step() -> None:
    before = {(f"t{i}", 0): i / 10 for i in range(10)}
    after = {key: value + 0.05 for key, value in before.items()}
    result = paired_difference(after, before)
    assert result.mean == pytest.approx(0.05)
    assert result.low == pytest.approx(0.05)
    assert (result.n, conclusion(result)) == (10, "above")


def test_paired_difference_counts_only_what_both_sides_judged() -> None:
    after = {("a", 0): 0.5, ("a", 1): None, ("b", 0): 0.5, ("only after", 0): 1.0}
    before = {("a", 0): 0.25, ("a", 1): 0.1, ("b", 0): 0.0, ("only before", 0): 1.0}
    result = paired_difference(after, before)
    assert (result.mean, result.n, result.steps, result.unjudged) == (0.375, 2, 2, 1)


def test_no_common_step_is_an_error() -> None:
    with pytest.raises(ValueError, match="no step in common"):
        paired_difference({("a", 0): 1.0}, {("b", 0): 1.0})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, "above"),
        (-0.2, -0.1, "below"),
        (-0.1, 0.1, "too small to tell"),
        (0.0, 0.1, "too small to tell"),
    ],
)
def test_conclusion(low: float, high: float, expected: str) -> None:
    assert conclusion(interval(low, high)) == expected


def test_many_trajectories_stay_within_memory() -> None:
    values = {str(i): [0.0, 1.0] for i in range(3000)}
    assert cluster_bootstrap(values, resamples=1500).high == pytest.approx(0.5)


# --- Problems, each with so many samples


@pytest.mark.parametrize(("problems", "samples"), [(30, 1), (30, 8), (40, 32)])
def test_coverage_over_problems_and_samples(problems: int, samples: int) -> None:
    """Problems differ in difficulty; an interval over single answers would be far too narrow."""
    generator = np.random.default_rng(problems + samples)
    hits = 0
    for _ in range(300):
        hard = generator.beta(0.6, 0.6, size=problems)
        flags = generator.random((problems, samples)) < hard[:, None]
        result = two_level_bootstrap(flags.tolist(), resamples=600)
        assert result.low is not None
        assert result.high is not None
        hits += result.low <= 0.5 <= result.high
    assert 0.91 <= hits / 300 <= 0.995


def test_samples_of_a_problem_count_little_and_problems_much() -> None:
    alike = two_level_bootstrap([[True] * 16] * 5 + [[False] * 16] * 5)
    mixed = two_level_bootstrap([[True, False] * 8] * 10)
    assert alike.mean == mixed.mean == 0.5
    width = present(mixed.high) - present(mixed.low)
    assert present(alike.high) - present(alike.low) > 2 * width > 0


def test_the_figures_of_a_two_level_interval() -> None:
    result = two_level_bootstrap([[True, False], [True, True], [False, False]])
    assert (result.mean, result.n, result.steps, result.unjudged) == (0.5, 3, 6, 0)
    assert two_level_bootstrap([[True, True]] * 4).as_json() == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 4}
    assert two_level_bootstrap([[True, False]]).as_json() == {"mean": 0.5, "low": None, "high": None, "n": 1}


@pytest.mark.parametrize("place", range(6))
def test_every_problem_is_drawn(place: int) -> None:
    flags = [[i == place] * 2 for i in range(6)]
    result = two_level_bootstrap(flags)
    assert result.low == 0.0
    assert result.high is not None
    assert result.high > 0.3


def test_one_sample_a_problem_is_the_bootstrap_over_problems() -> None:
    flags = [[i < 12] for i in range(40)]
    one, plain = (
        two_level_bootstrap(flags),
        cluster_bootstrap({str(i): [float(f[0])] for i, f in enumerate(flags)}),
    )
    assert one.mean == plain.mean == 0.3
    assert one.low == pytest.approx(plain.low, abs=0.03)
    assert one.high == pytest.approx(plain.high, abs=0.03)


def test_a_two_level_interval_is_deterministic() -> None:
    flags = [[True, False, False], [True, True, True], [False, False, True]]
    assert two_level_bootstrap(flags, seed=1) == two_level_bootstrap(flags, seed=1)
    assert two_level_bootstrap(flags, seed=1, resamples=50) != two_level_bootstrap(
        flags, seed=2, resamples=50
    )


def test_many_problems_stay_within_memory() -> None:
    result = two_level_bootstrap([[True, False]] * 3000, resamples=1500)
    assert result.high == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("flags", [[], [[]], [[True], [True, False]]])
def test_unequal_numbers_of_samples_are_an_error(flags: list[list[bool]]) -> None:
    with pytest.raises(ValueError, match="give each the same number"):
        two_level_bootstrap(flags)


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_impossible_settings_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        two_level_bootstrap([[True], [False]], **wrong)
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        cluster_bootstrap({"a": [1.0], "b": [0.0]}, **wrong)


def effects(
    seed: int, *, seeds: int, trajectories: int, of_seed: float, of_trajectory: float
) -> dict[Any, float | None]:
    """Values around 0 with an effect of each seed and each trajectory, two steps each."""
    random = np.random.default_rng(seed)
    by_seed, by_trajectory = random.normal(0, of_seed, seeds), random.normal(0, of_trajectory, trajectories)
    return {
        (s, f"t{t}", step): float(by_seed[s] + by_trajectory[t] + random.normal(0, 0.3))
        for s in range(seeds)
        for t in range(trajectories)
        for step in range(2)
    }


@pytest.mark.parametrize(("seeds", "of_seed", "of_trajectory"), [(3, 0.3, 0.1), (5, 0.0, 0.4), (5, 0.2, 0.2)])
def test_an_interval_over_seeds_and_trajectories_has_nominal_coverage(
    seeds: int, of_seed: float, of_trajectory: float
) -> None:
    covered = 0
    for trial in range(300):
        values = effects(trial, seeds=seeds, trajectories=12, of_seed=of_seed, of_trajectory=of_trajectory)
        interval = two_way_interval(values)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 0 <= interval.high
    assert 0.90 <= covered / 300 <= 1.0


def test_resampling_one_of_the_two_alone_would_cover_less() -> None:
    """If every trajectory has all seeds, only the two-way interval shows that seeds differ."""
    covered = 0
    for trial in range(200):
        values = effects(trial, seeds=3, trajectories=12, of_seed=0.3, of_trajectory=0.05)
        by_trajectory: dict[str, list[float | None]] = {}
        for (_, name, _), value in values.items():
            by_trajectory.setdefault(name, []).append(value)
        alone = cluster_bootstrap(by_trajectory, resamples=400)
        assert alone.low is not None
        assert alone.high is not None
        covered += alone.low <= 0 <= alone.high
    assert covered / 200 < 0.5


def test_the_two_way_interval_counts_and_needs_two_of_each() -> None:
    values = {(0, "a", 0): 0.2, (0, "b", 0): None, (1, "a", 0): 0.4, (1, "b", 1): 0.6}
    interval = two_way_interval(values)
    assert interval.mean == pytest.approx(0.4)
    assert (interval.n, interval.steps, interval.unjudged) == (2, 3, 1)
    assert interval.low is not None
    assert two_way_interval({(0, "a", 0): 0.2, (0, "b", 0): 0.3}).low is None
    assert two_way_interval({(0, "a", 0): 0.2, (1, "a", 0): 0.3}).low is None
    same = two_way_interval({(s, t, 0): 0.5 for s in (0, 1) for t in "ab"})
    assert (same.low, same.high) == (0.5, 0.5)
    with pytest.raises(ValueError, match="no judged value"):
        two_way_interval({(0, "a", 0): None})


def test_a_ratio_is_that_of_the_sums_and_its_interval_holds_clusters_together() -> None:
    parts = {"a": [(0.1, 0.5), (0.2, 0.5)], "b": [(0.4, 0.8)], "c": [(0.0, 0.2)], "d": []}
    ratio = ratio_bootstrap(parts)
    assert ratio is not None
    assert ratio.mean == pytest.approx(0.7 / 2.0)
    assert (ratio.n, ratio.steps) == (3, 4)
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < ratio.mean < ratio.high
    assert ratio_bootstrap(parts) == ratio
    assert ratio_bootstrap({"a": [(0.1, 0.0)]}) is None
    of_perfect_baseline = ratio_bootstrap({"a": [(-0.5, 0.0)], "b": [(0.2, 0.5)], "c": [(0.1, 0.5)]})
    assert of_perfect_baseline is not None
    assert of_perfect_baseline.mean == pytest.approx(-0.2)
    assert (of_perfect_baseline.low, of_perfect_baseline.high) == (None, None)
    with pytest.raises(ValueError, match="no part"):
        ratio_bootstrap({"a": []})
