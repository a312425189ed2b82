"""The figures of a study: every arm and stage over all seeds, by each reward. Pure: no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from harness.reporting import measures, schema
from harness.reporting.data import RunData
from harness.reporting.numbers import chosen_evaluations
from harness.statistics import bootstrap

SCHEMA_VERSION = 2
Key = tuple[int, str, int]  # (seed, task or trajectory, step)
Scores = Mapping[Key, float | None]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One stage of one arm, or of several arms whose figures are the same."""

    arms: tuple[str, ...]
    stage: str
    scores: Scores
    kinds: Mapping[Key, str]

    @property
    def label(self) -> str:
        return f"{'+'.join(self.arms)}/{self.stage}"


def study_numbers(runs: Sequence[tuple[str, int, RunData]]) -> schema.StudyReport:
    """Return study.json of runs given as (arm, seed, data).

    Intervals are over seeds and over tasks or trajectories
    (:func:`harness.statistics.bootstrap.two_way_interval`); with a single seed over the latter alone.
    """
    metrics: dict[str, schema.StudyMetric] = {}
    for name in _metrics([run for _, _, run in runs]):
        points = _merged(_points(runs, name))
        baseline = _baseline(runs, name)
        if points:
            metrics[name] = {
                "baseline": _baseline_entry(baseline),
                "points": [_point(point, baseline) for point in points],
                "differences": [_difference(a, b) for a, b in combinations(points, 2)],
            }
    seeds = sorted({seed for _, seed, _ in runs})
    return {"schema_version": SCHEMA_VERSION, "seeds": seeds, "metrics": metrics}


def _metrics(runs: Sequence[RunData]) -> list[str]:
    """Return ``accuracy``, if any run has it, and the rewards that all runs measured."""
    measured = [measures.measured_names(run, run.validation.values()) for run in runs if run.validation]
    shared = [name for name in measured[0] if all(name in names for names in measured)] if measured else []
    return [*([measures.ACCURACY] if any(run.outcomes for run in runs) else []), *shared]


def _points(runs: Iterable[tuple[str, int, RunData]], name: str) -> list[Point]:
    scores: dict[tuple[str, str], dict[Key, float | None]] = {}
    kinds: dict[tuple[str, str], dict[Key, str]] = {}
    for arm, seed, run in runs:
        for stage, evaluation in chosen_evaluations(run, []).items():
            results = (run.outcomes if name == measures.ACCURACY else run.validation).get(evaluation, {})
            if results:
                point = scores.setdefault((arm, stage), {})
                point |= _with_seed(seed, measures.values_of(run, results, name))
                of_kind = kinds.setdefault((arm, stage), {})
                of_kind |= {(seed, *key): result.kind for key, result in results.items()}
    return [
        Point(arms=(arm,), stage=stage, scores=values, kinds=kinds[arm, stage])
        for (arm, stage), values in scores.items()
    ]


def _with_seed(seed: int, values: measures.Values) -> dict[Key, float | None]:
    return {(seed, *key): value for key, value in values.items()}


def _merged(points: Iterable[Point]) -> list[Point]:
    """Merge the points of arms that share their first stages: they have the same figures there."""
    merged: list[Point] = []
    for point in points:
        same = next((m for m in merged if m.stage == point.stage and m.scores == point.scores), None)
        if same is None:
            merged.append(point)
        else:
            merged[merged.index(same)] = replace(same, arms=(*same.arms, *point.arms))
    return merged


@dataclass(frozen=True, kw_only=True)
class _Baseline:
    scores: Scores
    policies: Mapping[int, str]  # by seed
    expert: Scores


def _baseline(runs: Iterable[tuple[str, int, RunData]], name: str) -> _Baseline | None:
    """Return the best baseline of each seed, the same for all arms; None if a run has no baselines.jsonl."""
    scores: dict[Key, float | None] = {}
    policies: dict[int, str] = {}
    expert: dict[Key, float | None] = {}
    for _, seed, run in runs:
        figures = measures.baseline_numbers(run, [name]) if name != measures.ACCURACY else None
        best = figures["best"].get(name) if figures else None
        if best is None or best["policy"] not in run.baselines:
            return None
        policies[seed] = best["policy"]
        values = measures.values_of(run, run.baselines[best["policy"]], name)
        scores |= _with_seed(seed, values)
        expert |= _with_seed(seed, measures.expert_values(run, values, name))
    return _Baseline(scores=scores, policies=policies, expert=expert) if scores else None


def _baseline_entry(baseline: _Baseline | None) -> schema.StudyBaseline | None:
    if baseline is None:
        return None
    means = _by_seed(baseline.scores)
    return {
        **_pooled(baseline.scores),
        "by_seed": {seed: {"policy": baseline.policies[seed], "mean": mean} for seed, mean in means.items()},
    }


def _point(point: Point, baseline: _Baseline | None) -> schema.StudyPoint:
    skill, above = _beside(point.scores, baseline) if baseline else (None, None)
    of_kind: dict[str, dict[Key, float | None]] = {kind: {} for kind in point.kinds.values()}
    for key, value in point.scores.items():
        of_kind[point.kinds[key]][key] = value
    return {
        "arm": "+".join(point.arms),
        "stage": point.stage,
        **_pooled(point.scores),
        "by_seed": _by_seed(point.scores),
        "skill": skill,
        "above_baseline": above,
        "by_kind": {kind: {**_pooled(scores), "steps": len(scores)} for kind, scores in of_kind.items()},
    }


def _beside(scores: Scores, baseline: _Baseline) -> tuple[bootstrap.IntervalJson, schema.Conclusive]:
    """Return skill, (reward − baseline) ÷ (expert − baseline), and the difference, paired by seed and step."""
    pairs = {
        key: (value - other, most - other)
        for key in sorted(scores.keys() & baseline.scores.keys() & baseline.expert.keys())
        if (value := scores[key]) is not None
        and (other := baseline.scores[key]) is not None
        and (most := baseline.expert[key]) is not None
    }
    above = {key: gained for key, (gained, _) in pairs.items()}
    possible = sum(most for _, most in pairs.values())
    skill = bootstrap.NO_INTERVAL
    if possible > 0:
        ratio = sum(above.values()) / possible
        each = possible / len(pairs)
        # Linearised: the ratio's error is that of the mean of these.
        skill = _pooled({key: ratio + (got - ratio * most) / each for key, (got, most) in pairs.items()})
    return skill, measures.concluded(_interval(above))


def _difference(before: Point, after: Point) -> schema.StudyDifference:
    """Return ``after - before``, paired by seed and step."""
    pairs: dict[Key, float | None] = {}
    for key in before.scores.keys() & after.scores.keys():
        a, b = before.scores[key], after.scores[key]
        pairs[key] = None if a is None or b is None else b - a
    return {"from": before.label, "to": after.label, **measures.concluded(_interval(pairs))}


def _pooled(values: Scores) -> bootstrap.IntervalJson:
    return measures.as_json(_interval(values))


def _interval(values: Scores) -> bootstrap.Interval | None:
    if all(value is None for value in values.values()):
        return None
    if len({seed for seed, _, _ in values}) > 1:
        return bootstrap.two_way_interval(values)
    by_task: dict[str, list[float | None]] = {}
    for (_, name, _), value in sorted(values.items()):
        by_task.setdefault(name, []).append(value)
    return bootstrap.cluster_bootstrap(by_task)


def _by_seed(values: Scores) -> dict[int, float | None]:
    means: dict[int, float | None] = {}
    for seed in sorted({seed for seed, _, _ in values}):
        judged = [value for key, value in values.items() if key[0] == seed and value is not None]
        means[seed] = sum(judged) / len(judged) if judged else None
    return means


def study_markdown(report: schema.StudyReport) -> str:
    """Return the tables as Markdown."""
    lines: list[str] = []
    for metric, table in report["metrics"].items():
        lines += [f"## {metric}", "", *_points_table(report["seeds"], table), ""]
        lines += [*_differences_table(table), ""]
        lines += [*_kinds_table(table), ""] if metric != measures.ACCURACY else []
    return "\n".join(lines)


def _points_table(seeds: Sequence[int], table: schema.StudyMetric) -> list[str]:
    lines = [
        f"| arm | stage | mean over all steps of {len(seeds)} seeds (95 % interval) "
        "| skill | − best baseline | by seed | n |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in table["points"]:
        lines.append(
            f"| {one['arm']} | {one['stage']} | {_span(one)} | {_span(one['skill'])} | "
            f"{_span(one['above_baseline'], '+')} | {_listed(one['by_seed'].values())} | {one['n']} |"
        )
    if baseline := table["baseline"]:
        seeds_best = baseline["by_seed"].values()
        policies = ", ".join(dict.fromkeys(one["policy"].replace("_", " ") for one in seeds_best))
        means = _listed(one["mean"] for one in seeds_best)
        lines += [f"| best baseline | {policies} | {_span(baseline)} | 0 | – | {means} | {baseline['n']} |"]
    return lines


def _differences_table(table: schema.StudyMetric) -> list[str]:
    lines = ["| difference | mean (95 % interval) | |", "| --- | --- | --- |"]
    for pair in table["differences"]:
        verdict = pair["verdict"] or "nothing in common"
        lines.append(f"| {pair['to']} − {pair['from']} | {_span(pair, '+')} | {verdict} |")
    return lines


def _kinds_table(table: schema.StudyMetric) -> list[str]:
    steps = {kind: one["steps"] for point in table["points"] for kind, one in point["by_kind"].items()}
    kinds = sorted(steps, key=lambda kind: (-steps[kind], kind))
    heads = " | ".join(f"{kind} ({steps[kind]})" for kind in kinds)
    lines = [f"| arm | stage | {heads} |", "| --- | --- |" + " --- |" * len(kinds)]
    for one in table["points"]:
        spans = " | ".join(_span(one["by_kind"].get(kind)) for kind in kinds)
        lines.append(f"| {one['arm']} | {one['stage']} | {spans} |")
    return lines


def _listed(values: Iterable[float | None]) -> str:
    return ", ".join("–" if value is None else f"{value:.3f}" for value in values)


def _span(interval: bootstrap.IntervalJson | None, sign: str = "") -> str:
    if interval is None or interval["mean"] is None:
        return "–"
    form = f"{sign}.3f"
    mean = format(interval["mean"], form)
    if interval["low"] is None:
        return f"{mean} (no interval)"
    return f"{mean} ({format(interval['low'], form)} to {format(interval['high'], form)})"
