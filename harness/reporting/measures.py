"""Rewards of stages and of baselines, their differences, and the skill over the best baseline. Pure: no I/O."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

from harness.config.stages import BASE, CONTROL, RL
from harness.reporting import schema
from harness.reporting.data import BaselineResult, Results, RunData
from harness.statistics import bootstrap
from srl_agent.rewards import EXPERT, READS_EXPERT
from trajectories.types import JSON

AnyResults = Results | Mapping[bootstrap.StepKey, BaselineResult]
Values = Mapping[bootstrap.StepKey, float | None]
ACCURACY = "accuracy"  # the reward of verified tasks, where rewards are named


def trained_stage(chosen: Iterable[str]) -> str | None:
    """Return the last stage that was trained and evaluated; the control leads to no model."""
    return next((stage for stage in reversed(list(chosen)) if stage not in (BASE, CONTROL)), None)


def stage_pairs(stages: Iterable[str]) -> list[tuple[str, str]]:
    """Return the (before, after) pairs to compare: each stage with the one it started from, RL with its control.

    >>> stage_pairs(["base", "sft", "srl", "sft_control"])
    [('base', 'sft'), ('sft', 'srl'), ('sft', 'sft_control'), ('sft_control', 'srl')]
    """
    chain = [stage for stage in stages if stage != CONTROL]
    pairs = list(pairwise(chain))
    if CONTROL in stages:
        learned = [stage for stage in chain if stage in RL]
        starts = [before for before, after in pairs if after in learned[:1]]
        pairs += [(before, CONTROL) for before in starts] + [(CONTROL, after) for after in learned[-1:]]
    return pairs


def measured_names(run: RunData, results: Iterable[AnyResults]) -> list[str]:
    """Return the rewards that all results have: the trained one first, then the others."""
    parts = [set(result.parts) for some in results for result in some.values()]
    shared = set.intersection(*parts) if parts else set()
    return [run.trained_on, *sorted(shared - {run.trained_on})]


def values_of(run: RunData, results: AnyResults, name: str) -> dict[bootstrap.StepKey, float | None]:
    """Return a reward of each step."""
    own = name in (run.trained_on, ACCURACY)
    return {key: result.reward if own else result.parts.get(name) for key, result in results.items()}


def interval_of(values: Values) -> bootstrap.IntervalJson:
    """Return the mean and its interval over trajectories; None where nothing is judged."""
    by_trajectory: dict[str, list[float | None]] = {}
    for (trajectory, _), value in values.items():
        by_trajectory.setdefault(trajectory, []).append(value)
    try:
        return bootstrap.cluster_bootstrap(by_trajectory).as_json()
    except ValueError:  # nothing is judged
        return bootstrap.NO_INTERVAL


def reward(run: RunData, results: AnyResults, name: str) -> bootstrap.IntervalJson:
    """Return the mean of a reward and its interval over trajectories."""
    return interval_of(values_of(run, results, name))


def difference(run: RunData, after: AnyResults, before: AnyResults, name: str) -> schema.Difference:
    """Return the paired difference of a reward, with its conclusion."""
    return difference_of(values_of(run, after, name), values_of(run, before, name))


def baseline_numbers(run: RunData, names: Iterable[str]) -> schema.BaselineFigures | None:
    """Return the figures of each baseline, and the best one of each reward; None for a run without baselines."""
    policies: dict[str, schema.PolicyFigures]
    if run.baselines:
        policies = {
            policy: {
                "reads_expert": policy in READS_EXPERT,
                "action": next(iter(results.values())).action
                if len({result.action for result in results.values()}) == 1
                else None,
                "rewards": {name: reward(run, results, name) for name in names},
                "by_kind": _by_kind(results),
            }
            for policy, results in run.baselines.items()
        }
    elif run.baseline_means is not None:
        names = [run.trained_on]
        policies = {
            policy: {
                "reads_expert": policy in READS_EXPERT,
                "action": None,
                "rewards": {run.trained_on: _written_interval(figures)},
                "by_kind": figures.get("by_kind", {}),
            }
            for policy, figures in run.baseline_means.items()
        }
    else:
        return None
    return {"best": _best(policies, names), "policies": policies}


def _written_interval(figures: Mapping[str, JSON]) -> bootstrap.IntervalJson:
    low, high = figures.get("low"), figures.get("high")
    return {"mean": figures["mean"], "low": low, "high": high, "n": figures.get("n", 0)}


def _best(found: Mapping[str, schema.PolicyFigures], names: Iterable[str]) -> dict[str, schema.BestBaseline]:
    best: dict[str, schema.BestBaseline] = {}
    for name in names:
        candidates = {
            policy: figures["rewards"][name]
            for policy, figures in found.items()
            if not figures["reads_expert"]
            and figures["rewards"].get(name, bootstrap.NO_INTERVAL)["mean"] is not None
        }
        if candidates:
            policy = max(candidates, key=lambda policy: (candidates[policy]["mean"], policy))
            best[name] = {"policy": policy, **candidates[policy]}
    return best


def beside_baseline(
    run: RunData, results: AnyResults, baseline: schema.BaselineFigures | None
) -> tuple[dict[str, bootstrap.IntervalJson], dict[str, schema.Difference]]:
    """Return the skill, and the difference to the best baseline, of each reward that has one.

    Skill is (reward − baseline) ÷ (expert − baseline): 0 for the baseline, 1 for the expert. All are paired step by
    step; which baseline is the best is taken as known.
    """
    skill: dict[str, bootstrap.IntervalJson] = {}
    above: dict[str, schema.Difference] = {}
    for name, best in baseline["best"].items() if baseline else ():
        values, others = values_of(run, results, name), run.baselines.get(best["policy"])
        if others is None:
            skill[name] = _skill_of_means(interval_of(values)["mean"], best["mean"])
            continue
        of_baseline = values_of(run, others, name)
        skill[name] = _skill(values, of_baseline, expert_values(run, values, name))
        above[name] = difference_of(values, of_baseline)
    return skill, above


def expert_values(run: RunData, values: Values, name: str) -> Values:
    """Return what the expert scores on the steps of ``values``: 1 in runs from before it was scored."""
    known = run.baselines.get(EXPERT)
    return dict.fromkeys(values, 1.0) if known is None else values_of(run, known, name)


def _skill(values: Values, baseline: Values, expert: Values) -> bootstrap.IntervalJson:
    parts: dict[str, list[tuple[float, float]]] = {}
    for key in sorted(values.keys() & baseline.keys() & expert.keys()):
        value, other, most = values[key], baseline[key], expert[key]
        if value is not None and other is not None and most is not None:
            parts.setdefault(key[0], []).append((value - other, most - other))
    return as_json(bootstrap.ratio_bootstrap(parts) if parts else None)


def _skill_of_means(mean: float | None, baseline: float | None) -> bootstrap.IntervalJson:
    if mean is None or baseline is None or baseline >= 1:
        return bootstrap.NO_INTERVAL
    return {**bootstrap.NO_INTERVAL, "mean": (mean - baseline) / (1 - baseline)}


def difference_of(after: Values, before: Values) -> schema.Difference:
    """Return ``after - before``, paired, with its conclusion; the figures are None without a common step."""
    try:
        interval = bootstrap.paired_difference(after, before)
    except ValueError:  # no step is judged on both sides
        return {**bootstrap.NO_INTERVAL, "steps": 0, "verdict": None}
    return {**interval.as_json(), "steps": interval.steps, "verdict": bootstrap.conclusion(interval)}


def concluded(interval: bootstrap.Interval | None) -> schema.Conclusive:
    """Return the interval of a difference with its conclusion."""
    return {**as_json(interval), "verdict": bootstrap.conclusion(interval) if interval else None}


def as_json(interval: bootstrap.Interval | None) -> bootstrap.IntervalJson:
    """Return an interval as in a report."""
    return interval.as_json() if interval else bootstrap.NO_INTERVAL


def _by_kind(results: AnyResults) -> dict[str, schema.KindMean]:
    by_kind: dict[str, list[float]] = {}
    for result in results.values():
        if result.reward is not None:
            by_kind.setdefault(result.kind, []).append(result.reward)
    return {kind: {"mean": sum(values) / len(values), "n": len(values)} for kind, values in by_kind.items()}
