"""The figures of a report, from what a run's folder holds. Pure: no I/O, no rendering."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.config.stages import BASE, CONTROL, RL
from harness.reporting.accuracy import accuracy_numbers
from harness.reporting.data import (
    Evaluation,
    HeldOutRow,
    RunData,
    completions_of,
    mean_or_none,
    number_or_none,
)
from harness.reporting.measures import (
    baseline_numbers,
    beside_baseline,
    difference_of,
    interval_of,
    measured_names,
    stage_pairs,
    trained_stage,
    values_of,
)
from harness.statistics.bootstrap import StepKey

SCHEMA_VERSION = 2
_OFTEN_CLIPPED = 0.1  # share of samples from which on their length is worth a warning
_CURVES = {  # name in the report -> metric of the trainer
    "reward": "reward",
    "loss": "loss",
    "kept_fraction": "sampling/kept_fraction",
    "format_failure_rate": "sampling/format_failure_rate",
    "mean_length": "completions/mean_length",
}
Rows = Mapping[StepKey, HeldOutRow]


def report_numbers(run: RunData) -> dict[str, Any]:
    """Everything that report.json says. Parts that the run has not reached yet are None or empty."""
    warnings = list(run.warnings)
    chosen = chosen_evaluations(run, warnings)
    rows = {stage: run.held_out.get(evaluation, {}) for stage, evaluation in chosen.items()}
    names = measured_names(run, [*rows.values(), *run.baselines.values()])
    stages = {stage: _stage(run, stage, evaluation, names) for stage, evaluation in chosen.items()}
    trained = trained_stage(chosen)
    difference = _difference(run, rows[trained], rows[BASE]) if trained and BASE in rows else None
    baseline = baseline_numbers(run, names)
    beside = {stage: beside_baseline(run, some, baseline) for stage, some in rows.items()}
    sampling = {stage: _sampling(steps) for stage, steps in run.groups.items()}
    _warn_of_gaps(run, stages, trained, warnings)
    _warn_of_clipping(sampling, warnings)
    warnings += run.manifest.get("warnings") or []
    return {
        "schema_version": SCHEMA_VERSION,
        "run": _about(run),
        "trained_on": run.trained_on,
        "validation": run.validation,
        "trained_stage": trained,
        "stages": stages,
        "baseline": baseline,
        "skill": {stage: figures["skill"] for stage, figures in beside.items()},
        "above_baseline": {stage: figures["above_baseline"] for stage, figures in beside.items()},
        "clipped_fraction": _clipped(stages, sampling),
        "difference": _without(difference, "steps", "verdict"),
        "verdict": difference["verdict"] if difference else None,
        "difference_by_kind": _difference_by_kind(run, rows[trained], rows[BASE])
        if difference and trained
        else {},
        "differences": _stage_differences(run, rows, names),
        "last_step": _last_step(run, chosen, trained),
        "accuracy": accuracy_numbers(run, chosen),
        "curves": {"training": _training_curves(run), "held_out": _held_out_curve(run)},
        "sampling": sampling,
        "warnings": warnings,
    }


def chosen_evaluations(run: RunData, warnings: list[str]) -> dict[str, Evaluation]:
    """The evaluation of the weights that each stage ends with.

    That is the one at the step that best.json names, the one of the stage before where no checkpoint beat
    the start, and without a best.json the stage's last complete one.
    """
    complete = max(map(completions_of, run.evaluations.values()), default=0)
    chosen: dict[str, Evaluation] = {}
    for evaluation, rows in run.evaluations.items():
        stage, step = evaluation
        if (found := completions_of(rows)) < complete:
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


def _about(run: RunData) -> dict[str, Any]:
    keys = (
        "seed",
        "status",
        "started",
        "finished",
        "wall_seconds",
        "model",
        "data",
        "git_commit",
        "versions",
    )
    return {"name": run.name, **{key: run.manifest.get(key) for key in keys}}


def _stage(run: RunData, stage: str, evaluation: Evaluation, names: Iterable[str]) -> dict[str, Any]:
    rows = run.held_out.get(evaluation, {})
    return {
        "step": evaluation[1],
        "of_stage": evaluation[0],  # another one where nothing beat the start
        "is_best": run.best_steps.get(stage) == evaluation[1],
        "evaluations": sum(name == stage for name, _ in run.evaluations),
        "step_reward": interval_of(values_of(run, rows, run.trained_on)) if rows else None,
        "rewards": {name: interval_of(values_of(run, rows, name)) for name in names},
        "steps": len(rows),
        "unjudged": sum(row.unjudged for row in rows.values()),
        "format_rate": _share(row.well_formed for row in rows.values()),
        "reward_if_well_formed": mean_or_none(
            reward for row in rows.values() for reward in row.rewards_if_well_formed
        ),
        "exact_match_rate": _share(row.exact_match for row in rows.values()),
        "clipped_fraction": _share(row.clipped for row in rows.values() if row.clipped is not None),
        "by_kind": {kind: _kind(run, part, names) for kind, part in _by_kind(rows).items()},
    }


def _kind(run: RunData, rows: Rows, names: Iterable[str]) -> dict[str, Any]:
    means = {name: interval_of(values_of(run, rows, name))["mean"] for name in names}
    return {**interval_of(values_of(run, rows, run.trained_on)), "rewards": means, "steps": len(rows)}


def _by_kind(rows: Rows) -> dict[str, dict[StepKey, HeldOutRow]]:
    """The kinds in the order of how many steps they have."""
    kinds: dict[str, dict[StepKey, HeldOutRow]] = {}
    for key, row in rows.items():
        kinds.setdefault(row.kind, {})[key] = row
    return dict(sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])))


def _share(shares: Iterable[float]) -> float | None:
    shares = list(shares)
    return sum(shares) / len(shares) if shares else None


def _difference(run: RunData, after: Rows, before: Rows) -> dict[str, Any] | None:
    """Of the trained reward; None without a step that both judged."""
    figures = difference_of(values_of(run, after, run.trained_on), values_of(run, before, run.trained_on))
    return None if figures["mean"] is None else figures


def _without(figures: Mapping[str, Any] | None, *keys: str) -> dict[str, Any] | None:
    return None if figures is None else {key: value for key, value in figures.items() if key not in keys}


def _difference_by_kind(run: RunData, after: Rows, before: Rows) -> dict[str, Any]:
    parts = {kind: _difference(run, part, before) for kind, part in _by_kind(after).items()}
    return {kind: _without(part, "steps", "verdict") for kind, part in parts.items()}


def _stage_differences(run: RunData, rows: Mapping[str, Rows], names: Iterable[str]) -> list[dict[str, Any]]:
    entries = []
    for before, after in stage_pairs(rows):
        rewards = {
            name: difference_of(values_of(run, rows[after], name), values_of(run, rows[before], name))
            for name in names
        }
        entries.append({"from": before, "to": after, **rewards[run.trained_on], "rewards": rewards})
    return entries


def _last_step(run: RunData, chosen: Mapping[str, Evaluation], trained: str | None) -> dict[str, Any] | None:
    """The difference at the last evaluation, which was not picked by its own reward; None if it is the best."""
    if trained is None or chosen.get(BASE) not in run.held_out:
        return None
    base = run.held_out[chosen[BASE]]
    complete = [
        e
        for e, rows in run.held_out.items()
        if e[0] == trained and completions_of(rows) >= completions_of(base)
    ]
    last = max(complete, key=lambda evaluation: evaluation[1])
    if last == chosen[trained]:
        return None
    after, before = (values_of(run, some, run.trained_on) for some in (run.held_out[last], base))
    return {"stage": trained, "step": last[1], **difference_of(after, before)}


def _training_curves(run: RunData) -> dict[str, dict[str, list[Any]]]:
    """Stage -> {"step": […], curve: […]} for the curves that the stage logged at all."""
    curves: dict[str, dict[str, list[Any]]] = {}
    for stage, steps in run.training.items():
        logged: dict[str, list[Any]] = {"step": list(steps)}
        for name, metric in _CURVES.items():
            values = [number_or_none(line.get(metric)) for line in steps.values()]
            if any(value is not None for value in values):
                logged[name] = values
        curves[stage] = logged
    return curves


def _held_out_curve(run: RunData) -> list[dict[str, Any]]:
    complete = max(map(completions_of, run.held_out.values()), default=0)
    points = []
    for (stage, step), rows in run.held_out.items():
        interval = interval_of(values_of(run, rows, run.trained_on))
        if interval["mean"] is not None and completions_of(rows) == complete:
            points.append({"stage": stage, "step": step, **interval})
    return points


def _sampling(steps: Mapping[int, Iterable[Any]]) -> dict[str, Any]:
    groups = [group for rows in steps.values() for group in rows]
    completions = sum(group.completions for group in groups)
    reasons = Counter(group.reason for group in groups if group.reason is not None)
    kept = len(groups) - sum(reasons.values())
    says = [(group.clipped, group.completions) for group in groups if group.clipped is not None]
    return {
        "groups": len(groups),
        "kept": kept,
        "kept_fraction": kept / len(groups) if groups else None,
        "dropped": dict(reasons.most_common()),
        "completions": completions,
        "format_failure_rate": sum(g.format_failures for g in groups) / completions if completions else None,
        "clipped_fraction": sum(cut for cut, _ in says) / sum(n for _, n in says) if says else None,
        "unjudged": sum(group.unjudged for group in groups),
    }


def _clipped(stages: Mapping[str, Any], sampling: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Share of completions that were cut at the longest length allowed: held-out ones, and those of training."""
    nothing: Mapping[str, Any] = {"clipped_fraction": None}
    return {
        stage: {
            "held_out": stages.get(stage, nothing)["clipped_fraction"],
            "sampled": sampling.get(stage, nothing)["clipped_fraction"],
        }
        for stage in dict.fromkeys([*stages, *sampling])
    }


def _warn_of_clipping(sampling: Mapping[str, Any], warnings: list[str]) -> None:
    for stage, figures in sampling.items():
        cut = figures["clipped_fraction"]
        if cut is not None and cut > _OFTEN_CLIPPED:
            warnings.append(
                f"{100 * cut:.0f} % of the completions that {stage} sampled were cut at "
                f"{stage}.trl.max_completion_length: a call that is cut scores as a broken format; allow longer ones"
            )


def _warn_of_gaps(run: RunData, stages: Mapping[str, Any], trained: str | None, warnings: list[str]) -> None:
    status = run.manifest.get("status")
    if status != "finished":
        warnings.append(f"the run is not finished (status: {status}); these are the figures so far")
    if BASE not in stages:
        warnings.append("the untrained model was not evaluated (yet): nothing to compare with")
    if trained is None:
        warnings.append("no trained stage was evaluated (yet): there is no difference to report")
    if not run.baselines and run.floor is None and run.held_out:
        warnings.append("baselines.jsonl is not there (yet): no trivial policy to compare with")
    for stage, figures in stages.items():
        reward = figures["step_reward"]
        if reward and reward["n"] == 1:
            warnings.append(f"{stage} has a single held-out trajectory: no interval can be given")
