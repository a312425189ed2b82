"""Every reward that was measured, of stages and of baselines, and the skill that is left of it. Pure: no I/O."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from harness.config.stages import BASE, CONTROL, RL
from harness.reporting.data import BaselineRow, HeldOutRow, RunData
from harness.statistics.bootstrap import (
    Interval,
    StepKey,
    cluster_bootstrap,
    paired_difference,
    ratio_bootstrap,
    verdict,
)
from srl_agent.rewards import READS_EXPERT

Rows = Mapping[StepKey, HeldOutRow] | Mapping[StepKey, BaselineRow]
Values = Mapping[StepKey, float | None]
NO_INTERVAL: Mapping[str, Any] = {"mean": None, "low": None, "high": None, "n": 0}


def trained_stage(chosen: Iterable[str]) -> str | None:
    """The last stage that was trained and evaluated; the control leads nowhere."""
    return next((stage for stage in reversed(list(chosen)) if stage not in (BASE, CONTROL)), None)


def stage_pairs(stages: Iterable[str]) -> list[tuple[str, str]]:
    """Which stage is compared with which, (before, after): each with the one it started from, RL with its control.

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


def measured_names(run: RunData, rows: Iterable[Rows]) -> list[str]:
    """The rewards that all rows have: what the run is trained on first, then the others."""
    parts = [set(row.parts) for some in rows for row in some.values()]
    shared = set.intersection(*parts) if parts else set()
    return [run.trained_on, *sorted(shared - {run.trained_on})]


def values_of(run: RunData, rows: Rows, name: str) -> dict[StepKey, float | None]:
    """A reward of each step."""
    return {key: row.reward if name == run.trained_on else row.parts.get(name) for key, row in rows.items()}


def interval_of(values: Values) -> dict[str, Any]:
    """Mean and interval over trajectories; None where nothing is judged."""
    return _interval(partial(cluster_bootstrap, _by_trajectory(values)))


def baseline_numbers(run: RunData, names: Iterable[str]) -> dict[str, Any] | None:
    """What each baseline scores, and the best one of each reward; None for a run without baselines."""
    if not run.baselines:
        return _of_floor(run)
    policies = {
        policy: {
            "reads_expert": policy in READS_EXPERT,
            "action": next(iter(rows.values())).action
            if len({row.action for row in rows.values()}) == 1
            else None,
            "rewards": {name: interval_of(values_of(run, rows, name)) for name in names},
            "by_kind": _by_kind(rows),
        }
        for policy, rows in run.baselines.items()
    }
    return {"best": _best(policies, names), "policies": policies}


def _best(policies: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    best = {}
    for name in names:
        able = {
            policy: figures["rewards"][name]
            for policy, figures in policies.items()
            if not figures["reads_expert"] and figures["rewards"].get(name, NO_INTERVAL)["mean"] is not None
        }
        if able:
            policy = max(able, key=lambda policy: (able[policy]["mean"], policy))
            best[name] = {"policy": policy, **able[policy]}
    return best


def _of_floor(run: RunData) -> dict[str, Any] | None:
    """The same of a run before baselines.jsonl: means of its own reward, no rows to pair."""
    if run.floor is None:
        return None
    policies = {
        policy: {
            "reads_expert": policy in READS_EXPERT,
            "action": None,
            "rewards": {run.trained_on: {key: figures.get(key) for key in NO_INTERVAL}},
            "by_kind": figures.get("by_kind", {}),
        }
        for policy, figures in run.floor.items()
    }
    return {"best": _best(policies, [run.trained_on]), "policies": policies}


def beside_baseline(run: RunData, rows: Rows, baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """Skill, and the difference to the best baseline, of each reward that has one.

    Skill is (reward − baseline) ÷ (1 − baseline): 0 for the baseline, 1 for the expert. Both are paired step by step;
    which baseline is the best is taken as known.
    """
    skill, above = {}, {}
    for name, best in (baseline or {"best": {}})["best"].items():
        values, others = values_of(run, rows, name), run.baselines.get(best["policy"])
        if others is None:
            skill[name] = _skill_of_means(interval_of(values)["mean"], best["mean"])
            continue
        of_baseline = values_of(run, others, name)
        skill[name] = _interval(partial(_skill, values, of_baseline))
        above[name] = difference_of(values, of_baseline)
    return {"skill": skill, "above_baseline": above}


def _skill(values: Values, baseline: Values) -> Interval | None:
    parts: dict[str, list[tuple[float, float]]] = {}
    for key in sorted(values.keys() & baseline.keys()):
        reward, other = values[key], baseline[key]
        if reward is not None and other is not None:
            parts.setdefault(key[0], []).append((reward - other, 1.0 - other))
    return ratio_bootstrap(parts)


def _skill_of_means(reward: float | None, baseline: float) -> dict[str, Any]:
    mean = None if reward is None or baseline >= 1 else (reward - baseline) / (1 - baseline)
    return {**NO_INTERVAL, "mean": mean}


def difference_of(after: Values, before: Values) -> dict[str, Any]:
    """``after - before``, paired, with its verdict; the figures are None without a common step."""
    try:
        interval = paired_difference(after, before)
    except ValueError:  # no step is judged on both sides
        return {**NO_INTERVAL, "steps": 0, "verdict": None}
    return {**interval.as_json(), "steps": interval.steps, "verdict": verdict(interval)}


def _interval(make: Callable[[], Interval | None]) -> dict[str, Any]:
    try:
        interval = make()
    except ValueError:  # nothing is judged
        interval = None
    return dict(NO_INTERVAL) if interval is None else dict(interval.as_json())


def _by_trajectory(values: Values) -> dict[str, list[float | None]]:
    by_trajectory: dict[str, list[float | None]] = {}
    for (trajectory, _), value in values.items():
        by_trajectory.setdefault(trajectory, []).append(value)
    return by_trajectory


def _by_kind(rows: Rows) -> dict[str, dict[str, float | int]]:
    by_kind: dict[str, list[float]] = {}
    for row in rows.values():
        if row.reward is not None:
            by_kind.setdefault(row.kind, []).append(row.reward)
    return {kind: {"mean": sum(values) / len(values), "n": len(values)} for kind, values in by_kind.items()}
