"""The figures of a report, computed from a run's data. Pure: no I/O, no rendering."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from harness.config.stages import BASE, CONTROL, RL
from harness.reporting import measures, schema
from harness.reporting.accuracy import accuracy_numbers
from harness.reporting.data import Evaluation, Results, RunData, SampledGroup, completions_of, mean_or_none
from harness.statistics.bootstrap import IntervalJson
from trajectories.types import JSON

SCHEMA_VERSION = 2
_ABOUT = ("seed", "status", "started", "finished", "wall_seconds", "model", "data", "git_commit", "versions")
_OFTEN_CLIPPED = 0.1  # share of clipped samples above which the report warns
_CURVES: dict[schema.CurveName, str] = {  # name in the report -> metric of the trainer
    "reward": "reward",
    "loss": "loss",
    "kept_fraction": "sampling/kept_fraction",
    "format_failure_rate": "sampling/format_failure_rate",
    "mean_length": "completions/mean_length",
}


def report_numbers(run: RunData) -> schema.RunReport:
    """Return the content of report.json. Parts that the run has not reached yet are None or empty."""
    warnings = list(run.warnings)
    chosen = chosen_evaluations(run, warnings)
    results = {stage: run.validation.get(evaluation, {}) for stage, evaluation in chosen.items()}
    names = measures.measured_names(run, [*results.values(), *run.baselines.values()])
    stages = {stage: _stage(run, stage, evaluation, names) for stage, evaluation in chosen.items()}
    trained = measures.trained_stage(chosen)
    after = results[trained] if trained and BASE in results else {}
    difference = _difference(run, after, results[BASE]) if after else None
    by_kind = _by_kind(after) if difference else {}
    baseline = measures.baseline_numbers(run, names)
    beside = {stage: measures.beside_baseline(run, some, baseline) for stage, some in results.items()}
    sampling = {stage: _sampling(steps) for stage, steps in run.groups.items()}
    warnings += [*_gaps(run, stages, trained), *_clipping(sampling), *(run.manifest.get("warnings") or ())]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": _about(run),
        "trained_on": run.trained_on,
        "validation": run.validation_settings,
        "trained_stage": trained,
        "stages": stages,
        "baseline": baseline,
        "skill": {stage: skill for stage, (skill, _) in beside.items()},
        "above_baseline": {stage: above for stage, (_, above) in beside.items()},
        "clipped_fraction": _clipped(stages, sampling),
        "difference": _interval_part(difference),
        "verdict": difference["verdict"] if difference else None,
        "difference_by_kind": {
            kind: _interval_part(_difference(run, part, results[BASE])) for kind, part in by_kind.items()
        },
        "differences": _stage_differences(run, results, names),
        "last_step": _last_step(run, chosen, trained),
        "accuracy": accuracy_numbers(run, chosen),
        "curves": {
            "training": {stage: _training_curve(steps) for stage, steps in run.training.items()},
            "held_out": _validation_curve(run),
        },
        "sampling": sampling,
        "warnings": warnings,
    }


def chosen_evaluations(run: RunData, warnings: list[str]) -> dict[str, Evaluation]:
    """Return the evaluation of the final weights of each stage.

    That is the one at the step that best.json names; if no checkpoint beat the initial weights, that of the stage
    before; without a best.json the stage's last complete one.
    """
    complete = max(map(completions_of, run.evaluations.values()), default=0)
    chosen: dict[str, Evaluation] = {}
    for evaluation, results in run.evaluations.items():
        stage, step = evaluation
        if (found := completions_of(results)) < complete:
            warnings.append(
                f"the evaluation of {stage} at step {step} has {found} of {complete} held-out completions "
                "and was left out"
            )
        else:
            chosen[stage] = evaluation
    before: Evaluation | None = None
    start_of_rl: Evaluation | None = None
    for stage, last in chosen.items():
        if stage in RL and start_of_rl is None:
            start_of_rl = before
        if stage != BASE:
            start = start_of_rl if stage == CONTROL else before
            chosen[stage] = _evaluation_of(run, stage, last, start, complete, warnings)
        if stage != CONTROL:
            before = chosen[stage]
    return chosen


def _evaluation_of(
    run: RunData, stage: str, last: Evaluation, before: Evaluation | None, complete: int, warnings: list[str]
) -> Evaluation:
    if stage not in run.best_steps:
        warnings.append(f"{stage} has no best.json (yet): its last evaluation, step {last[1]}, stands for it")
        return last
    best = run.best_steps[stage]
    if best is None:
        warnings.append(
            f"no checkpoint of {stage} beat the model it started from: {stage} ends with its start"
        )
        return before or last
    if completions_of(run.evaluations.get((stage, best), {})) == complete:
        return stage, best
    warnings.append(
        f"best.json of {stage} names step {best}, which has no complete evaluation: "
        f"its last one, step {last[1]}, stands for it"
    )
    return last


def _about(run: RunData) -> dict[str, JSON]:
    return {"name": run.name, **{key: run.manifest.get(key) for key in _ABOUT}}


def _stage(run: RunData, stage: str, evaluation: Evaluation, names: Iterable[str]) -> schema.StageFigures:
    results = run.validation.get(evaluation, {})
    return {
        "step": evaluation[1],
        "of_stage": evaluation[0],  # another stage if no checkpoint beat the initial weights
        "is_best": run.best_steps.get(stage) == evaluation[1],
        "evaluations": sum(name == stage for name, _ in run.evaluations),
        "step_reward": measures.reward(run, results, run.trained_on) if results else None,
        "rewards": {name: measures.reward(run, results, name) for name in names},
        "steps": len(results),
        "unjudged": sum(result.unjudged for result in results.values()),
        "format_rate": _share(result.well_formed for result in results.values()),
        "reward_if_well_formed": mean_or_none(
            reward for result in results.values() for reward in result.rewards_if_well_formed
        ),
        "exact_match_rate": _share(result.exact_match for result in results.values()),
        "clipped_fraction": _share(r.clipped for r in results.values() if r.clipped is not None),
        "by_kind": {kind: _kind(run, part, names) for kind, part in _by_kind(results).items()},
    }


def _kind(run: RunData, results: Results, names: Iterable[str]) -> schema.KindFigures:
    means = {name: measures.reward(run, results, name)["mean"] for name in names}
    return {**measures.reward(run, results, run.trained_on), "rewards": means, "steps": len(results)}


def _by_kind(results: Results) -> dict[str, Results]:
    """Return the results by kind, the most frequent kind first."""
    counts = Counter(result.kind for result in results.values())
    kinds = sorted(counts, key=lambda kind: (-counts[kind], kind))
    return {kind: {key: one for key, one in results.items() if one.kind == kind} for kind in kinds}


def _share(shares: Iterable[float]) -> float | None:
    shares = list(shares)
    return sum(shares) / len(shares) if shares else None


def _difference(run: RunData, after: Results, before: Results) -> schema.Difference | None:
    """Return the difference of the trained reward; None without a step judged in both."""
    figures = measures.difference(run, after, before, run.trained_on)
    return None if figures["mean"] is None else figures


def _interval_part(figures: schema.Difference | None) -> IntervalJson | None:
    if figures is None:
        return None
    return {"mean": figures["mean"], "low": figures["low"], "high": figures["high"], "n": figures["n"]}


def _stage_differences(
    run: RunData, results: Mapping[str, Results], names: Iterable[str]
) -> list[schema.StageDifference]:
    entries: list[schema.StageDifference] = []
    for before, after in measures.stage_pairs(results):
        rewards = {name: measures.difference(run, results[after], results[before], name) for name in names}
        entries.append({"from": before, "to": after, **rewards[run.trained_on], "rewards": rewards})
    return entries


def _last_step(run: RunData, chosen: Mapping[str, Evaluation], trained: str | None) -> schema.LastStep | None:
    """Return the difference at the last evaluation, which no selection favours; None if it is the best one."""
    if trained is None or chosen.get(BASE) not in run.validation:
        return None
    base = run.validation[chosen[BASE]]
    complete = [
        evaluation
        for evaluation, results in run.validation.items()
        if evaluation[0] == trained and completions_of(results) >= completions_of(base)
    ]
    last = max(complete, key=lambda evaluation: evaluation[1])
    if last == chosen[trained]:
        return None
    difference = measures.difference(run, run.validation[last], base, run.trained_on)
    return {"stage": trained, "step": last[1], **difference}


def _training_curve(steps: Mapping[int, Mapping[str, float | None]]) -> schema.TrainingCurve:
    """Return the curves that the stage logged at all."""
    logged: schema.TrainingCurve = {"step": list(steps)}
    for name, metric in _CURVES.items():
        values = [metrics.get(metric) for metrics in steps.values()]
        if any(value is not None for value in values):
            logged[name] = values
    return logged


def _validation_curve(run: RunData) -> list[schema.CurvePoint]:
    complete = max(map(completions_of, run.validation.values()), default=0)
    points: list[schema.CurvePoint] = []
    for (stage, step), results in run.validation.items():
        interval = measures.reward(run, results, run.trained_on)
        if interval["mean"] is not None and completions_of(results) == complete:
            points.append({"stage": stage, "step": step, **interval})
    return points


def _sampling(steps: Mapping[int, Iterable[SampledGroup]]) -> schema.SamplingFigures:
    groups = [group for of_step in steps.values() for group in of_step]
    completions = sum(group.completions for group in groups)
    reasons = Counter(group.reason for group in groups if group.reason is not None)
    kept = len(groups) - sum(reasons.values())
    recorded = [(group.clipped, group.completions) for group in groups if group.clipped is not None]
    cut = sum(cut for cut, _ in recorded)
    return {
        "groups": len(groups),
        "kept": kept,
        "kept_fraction": kept / len(groups) if groups else None,
        "dropped": dict(reasons.most_common()),
        "completions": completions,
        "format_failure_rate": sum(g.format_failures for g in groups) / completions if completions else None,
        "clipped_fraction": cut / sum(n for _, n in recorded) if recorded else None,
        "unjudged": sum(group.unjudged for group in groups),
    }


def _clipped(
    stages: Mapping[str, schema.StageFigures], sampling: Mapping[str, schema.SamplingFigures]
) -> dict[str, schema.Clipped]:
    """Return the share of completions cut at the length limit: in validation, and in training."""
    return {
        stage: {
            "held_out": stages[stage]["clipped_fraction"] if stage in stages else None,
            "sampled": sampling[stage]["clipped_fraction"] if stage in sampling else None,
        }
        for stage in dict.fromkeys([*stages, *sampling])
    }


def _clipping(sampling: Mapping[str, schema.SamplingFigures]) -> Iterator[str]:
    for stage, figures in sampling.items():
        cut = figures["clipped_fraction"]
        if cut is not None and cut > _OFTEN_CLIPPED:
            yield (
                f"{100 * cut:.0f} % of the completions that {stage} sampled were cut at "
                f"{stage}.trl.max_completion_length: a call that is cut scores as a broken format; allow longer ones"
            )


def _gaps(run: RunData, stages: Mapping[str, schema.StageFigures], trained: str | None) -> Iterator[str]:
    status = run.manifest.get("status")
    if status != "finished":
        yield f"the run is not finished (status: {status}); these are the figures so far"
    if BASE not in stages:
        yield "the untrained model was not evaluated (yet): nothing to compare with"
    if trained is None:
        yield "no trained stage was evaluated (yet): there is no difference to report"
    if not run.baselines and run.baseline_means is None and run.validation:
        yield "baselines.jsonl is not there (yet): no trivial policy to compare with"
    for stage, figures in stages.items():
        reward = figures["step_reward"]
        if reward and reward["n"] == 1:
            yield f"{stage} has a single held-out trajectory: no interval can be given"
