"""The figures of a report, from what a run's folder holds. Pure: no I/O, no rendering."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from harness.cli import UserError
from harness.reporting.accuracy import accuracy_numbers
from harness.reporting.data import Evaluation, HeldOutRow, RunData, number_or_none
from harness.statistics import Interval, StepKey, cluster_bootstrap, paired_difference, verdict

SCHEMA_VERSION = 1
BASE = "base"
READS_EXPERT = frozenset({"first_half"})  # floor policies that copy from the answer: a yardstick, no floor
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
    stages = {stage: _stage(run, stage, evaluation) for stage, evaluation in chosen.items()}
    trained = trained_stage(chosen)
    rows = {stage: run.held_out.get(evaluation, {}) for stage, evaluation in chosen.items()}
    difference = _difference(rows[trained], rows[BASE]) if trained and BASE in rows else None
    _warn_of_gaps(run, stages, trained, warnings)
    return {
        "schema_version": SCHEMA_VERSION,
        "run": _about(run),
        "trained_stage": trained,
        "stages": stages,
        "difference": difference.as_json() if difference else None,
        "verdict": verdict(difference) if difference else None,
        "difference_by_kind": _difference_by_kind(rows[trained], rows[BASE])
        if difference and trained
        else {},
        "differences": _consecutive_differences(rows),
        "last_step": _last_step(run, chosen, trained),
        "accuracy": accuracy_numbers(run, chosen),
        "floor": _floor(run),
        "curves": {"training": _training_curves(run), "held_out": _held_out_curve(run)},
        "sampling": {stage: _sampling(steps) for stage, steps in run.groups.items()},
        "warnings": warnings,
    }


def chosen_evaluations(run: RunData, warnings: list[str]) -> dict[str, Evaluation]:
    """The evaluation of the weights that each stage ends with.

    That is the one at the step that best.json names, the one of the stage before where no checkpoint beat
    the start, and without a best.json the stage's last complete one.
    """
    complete = max((len(rows) for rows in run.evaluations.values()), default=0)
    chosen: dict[str, Evaluation] = {}
    for evaluation, rows in run.evaluations.items():
        stage, step = evaluation
        if len(rows) < complete:
            warnings.append(
                f"the evaluation of {stage} at step {step} covers {len(rows)} of {complete} held-out steps "
                "and was left out"
            )
        else:
            chosen[stage] = evaluation
    before: Evaluation | None = None
    for stage, last in chosen.items():
        if stage != BASE:
            chosen[stage] = _evaluation_of(run, stage, last, before, complete, warnings)
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
    if len(run.evaluations.get((stage, best), ())) == complete:
        return stage, best
    warnings.append(
        f"best.json of {stage} names step {best}, which has no complete evaluation: "
        f"its last one, step {last[1]}, stands for it"
    )
    return last


def trained_stage(chosen: Mapping[str, Evaluation]) -> str | None:
    """The last stage that was trained and evaluated."""
    return next((stage for stage in reversed(list(chosen)) if stage != BASE), None)


def rewards(rows: Rows) -> dict[StepKey, float | None]:
    return {key: row.reward for key, row in rows.items()}


def interval_of(rows: Rows) -> Interval | None:
    """Mean step reward; None if nothing is judged."""
    by_trajectory: dict[str, list[float | None]] = {}
    for (trajectory, _), row in rows.items():
        by_trajectory.setdefault(trajectory, []).append(row.reward)
    judged = any(row.reward is not None for row in rows.values())
    return cluster_bootstrap(by_trajectory) if judged else None


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


def _stage(run: RunData, stage: str, evaluation: Evaluation) -> dict[str, Any]:
    rows = run.held_out.get(evaluation, {})
    interval = interval_of(rows)
    return {
        "step": evaluation[1],
        "of_stage": evaluation[0],  # another one where nothing beat the start
        "is_best": run.best_steps.get(stage) == evaluation[1],
        "evaluations": sum(name == stage for name, _ in run.evaluations),
        "step_reward": interval.as_json() if interval else None,
        "steps": len(rows),
        "unjudged": sum(row.reward is None for row in rows.values()),
        "format_rate": _share(row.well_formed for row in rows.values()),
        "reward_if_well_formed": _mean(row.reward for row in rows.values() if row.well_formed),
        "exact_match_rate": _share(row.exact_match for row in rows.values()),
        "rewards": _means_by_part(rows.values()),
        "by_kind": {kind: _kind(part) for kind, part in _by_kind(rows).items()},
    }


def _kind(rows: Rows) -> dict[str, Any]:
    interval = interval_of(rows)
    empty = {"mean": None, "low": None, "high": None, "n": 0}
    return {**(interval.as_json() if interval else empty), "steps": len(rows)}


def _by_kind(rows: Rows) -> dict[str, dict[StepKey, HeldOutRow]]:
    """The kinds in the order of how many steps they have."""
    kinds: dict[str, dict[StepKey, HeldOutRow]] = {}
    for key, row in rows.items():
        kinds.setdefault(row.kind, {})[key] = row
    return dict(sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])))


def _means_by_part(rows: Iterable[HeldOutRow]) -> dict[str, float | None]:
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row.parts)
    return {name: _mean(row.parts.get(name) for row in rows) for name in names}


def _mean(values: Iterable[float | None]) -> float | None:
    judged = [value for value in values if value is not None]
    return sum(judged) / len(judged) if judged else None


def _share(flags: Iterable[bool]) -> float | None:
    flags = list(flags)
    return sum(flags) / len(flags) if flags else None


def _difference(after: Rows, before: Rows) -> Interval | None:
    try:
        return paired_difference(rewards(after), rewards(before))
    except ValueError:  # no step is judged on both sides
        return None


def _difference_by_kind(after: Rows, before: Rows) -> dict[str, Any]:
    parts = {kind: _difference(part, before) for kind, part in _by_kind(after).items()}
    return {kind: part.as_json() if part else None for kind, part in parts.items()}


def _consecutive_differences(rows: Mapping[str, Rows]) -> list[dict[str, Any]]:
    stages = list(rows)
    return [difference_entry(rows[b], rows[a], {"from": a, "to": b}) for a, b in pairwise(stages)]


def difference_entry(after: Rows, before: Rows, names: Mapping[str, str]) -> dict[str, Any]:
    """``after - before`` with how many steps it rests on; the figures are None without a common step."""
    interval = _difference(after, before)
    if interval is None:
        return {**names, "mean": None, "low": None, "high": None, "n": 0, "steps": 0, "verdict": None}
    return {**names, **interval.as_json(), "steps": interval.steps, "verdict": verdict(interval)}


def _last_step(run: RunData, chosen: Mapping[str, Evaluation], trained: str | None) -> dict[str, Any] | None:
    """The difference at the last evaluation, which was not picked by its own reward; None if it is the best."""
    if trained is None or chosen.get(BASE) not in run.held_out:
        return None
    base = run.held_out[chosen[BASE]]
    complete = [e for e, rows in run.held_out.items() if e[0] == trained and len(rows) >= len(base)]
    last = max(complete, key=lambda evaluation: evaluation[1])
    if last == chosen[trained]:
        return None
    return difference_entry(run.held_out[last], base, {"stage": trained}) | {"step": last[1]}


def _floor(run: RunData) -> dict[str, Any] | None:
    """floor.json with the name of the best policy that does not read the expert's action beside it."""
    if run.floor is None:
        return None
    try:
        means = {name: float(policy["mean"]) for name, policy in run.floor["policies"].items()}
        best = max(means.keys() - READS_EXPERT, key=lambda name: (means[name], name), default=None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{run.folder / 'floor.json'}: no usable 'policies' ({error!r})") from error
    return {"reward": run.floor.get("reward"), "policies": run.floor["policies"], "best": best}


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
    complete = max((len(rows) for rows in run.held_out.values()), default=0)
    points = []
    for (stage, step), rows in run.held_out.items():
        interval = interval_of(rows)
        if interval and len(rows) == complete:
            points.append({"stage": stage, "step": step, **interval.as_json()})
    return points


def _sampling(steps: Mapping[int, Iterable[Any]]) -> dict[str, Any]:
    groups = [group for rows in steps.values() for group in rows]
    completions = sum(group.completions for group in groups)
    reasons = Counter(group.reason for group in groups if group.reason is not None)
    kept = len(groups) - sum(reasons.values())
    return {
        "groups": len(groups),
        "kept": kept,
        "kept_fraction": kept / len(groups) if groups else None,
        "dropped": dict(reasons.most_common()),
        "completions": completions,
        "format_failure_rate": sum(g.format_failures for g in groups) / completions if completions else None,
        "unjudged": sum(group.unjudged for group in groups),
    }


def _warn_of_gaps(run: RunData, stages: Mapping[str, Any], trained: str | None, warnings: list[str]) -> None:
    status = run.manifest.get("status")
    if status != "finished":
        warnings.append(f"the run is not finished (status: {status}); these are the figures so far")
    if BASE not in stages:
        warnings.append("the untrained model was not evaluated (yet): nothing to compare with")
    if trained is None:
        warnings.append("no trained stage was evaluated (yet): there is no difference to report")
    if run.floor is None and run.held_out:
        warnings.append("floor.json is not there (yet): no trivial policy to compare with")
    for stage, figures in stages.items():
        reward = figures["step_reward"]
        if reward and reward["n"] == 1:
            warnings.append(f"{stage} has a single held-out trajectory: no interval can be given")
