"""Several runs of one recipe, compared: every arm with every seed, each a run of its own in the study's folder."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from harness.cli import UserError
from harness.config import Recipe, make_recipe, set_key
from harness.console import Teller
from harness.reporting.data import HeldOutRow, read_run
from harness.reporting.numbers import chosen_evaluations
from harness.run_folder import RunFolder
from harness.statistics import Interval, cluster_bootstrap, verdict
from trajectories.store import atomic_write

METRICS = ("accuracy", "step_reward")
Point = tuple[str, str]  # arm and stage: what a study compares
Scores = Mapping[tuple[int, str, int], float | None]  # (seed, task or trajectory, step) -> reward


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """One arm with one seed."""

    arm: str
    seed: int
    recipe: Recipe
    folder: RunFolder


def plan_study(recipe: Recipe, folder: Path) -> list[StudyRun]:
    """All runs of a study, seeds outermost: an interrupted one has whole seeds. Raises UserError."""
    assert recipe.study is not None
    runs = []
    for seed in recipe.study.seeds:
        for arm, overrides in recipe.study.arms.items():
            table = recipe.model_dump(mode="json", exclude={"study"})
            for key, value in overrides.items():
                set_key(table, key, value)
            name = f"{arm}-seed{seed}"
            table |= {"seed": seed, "name": name, "output": str(folder)}
            made = make_recipe(table, f"study.arms.{arm}")
            runs.append(StudyRun(arm=arm, seed=seed, recipe=made, folder=RunFolder(folder / name)))
    return runs


def run_study(recipe: Recipe, folder: RunFolder, teller: Teller) -> dict[str, Any]:
    """Do what is left of the runs, then compare them. Raises UserError if one fails; the others go on first."""
    assert recipe.study is not None
    runs = plan_study(recipe, folder.path)
    left = [run for run in runs if not _is_finished(run)]
    teller.say(
        f"study: {folder.path}; {len(left)} of {len(runs)} runs to do, {recipe.study.parallel} at once"
    )
    command = [*(recipe.study.command or (sys.executable,)), "-m", "harness.train"]
    with ThreadPoolExecutor(recipe.study.parallel) as pool:
        codes = list(pool.map(lambda run: _do(run, command, teller), left))
    if failed := [run.folder.path.name for run, code in zip(left, codes, strict=True) if code]:
        raise UserError(
            f"{len(failed)} of {len(left)} runs failed ({', '.join(failed)}): see their log.txt; "
            f"go on with: python -m harness.train --resume {folder.path}"
        )
    report = compare_study(runs)
    folder.write_json(folder.path / "study.json", report)
    with atomic_write(folder.path / "study.md") as out:
        out.write(study_markdown(report))
    return report


def _is_finished(run: StudyRun) -> bool:
    manifest = run.folder.manifest
    return manifest.exists() and json.loads(manifest.read_text(encoding="utf-8")).get("status") == "finished"


def _do(run: StudyRun, command: Sequence[str], teller: Teller) -> int:
    """One run in a process of its own, what it says in log.txt; its exit code."""
    name = run.folder.path.name
    if run.folder.config.exists():
        words = ["--resume", str(run.folder.path)]
    else:
        path = run.folder.path.with_suffix(".yaml")
        with atomic_write(path) as out:
            yaml.safe_dump(run.recipe.model_dump(mode="json"), out, sort_keys=False, allow_unicode=True)
        words = [str(path)]
    teller.say(f"{name}: started")
    run.folder.path.mkdir(parents=True, exist_ok=True)
    with (run.folder.path / "log.txt").open("a", encoding="utf-8") as log:
        code = subprocess.run(
            [*command, *words], stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    teller.say(f"{name}: {'finished' if code == 0 else f'failed with exit code {code}'}")
    return code


def compare_study(runs: Iterable[StudyRun]) -> dict[str, Any]:
    """Each arm and stage over all seeds, and every pair of arms' ends, by each metric that was measured.

    Intervals resample tasks (for accuracy) or trajectories (for the step reward), each with all its seeds: they are
    of the tasks, given these seeds. How far apart the seeds are stands beside them.
    """
    report: dict[str, Any] = {"schema_version": 1, "metrics": {}}
    scores: dict[str, dict[Point, dict[tuple[int, str, int], float | None]]] = {m: {} for m in METRICS}
    ends: dict[str, str] = {}
    for run in runs:
        data = read_run(run.folder.path)
        chosen = chosen_evaluations(data, [])
        ends[run.arm] = list(chosen)[-1]
        for metric, measured in zip(METRICS, (data.outcomes, data.held_out), strict=True):
            for stage, evaluation in chosen.items():
                if evaluation in measured:
                    point = scores[metric].setdefault((run.arm, stage), {})
                    point |= _with_seed(run.seed, measured[evaluation])
    for metric, points in scores.items():
        if points:
            report["metrics"][metric] = {
                "points": [_point(point, values) for point, values in points.items()],
                "differences": [
                    _difference((a, ends[a]), (b, ends[b]), points) for a, b in combinations(ends, 2)
                ],
            }
    return report


def _with_seed(
    seed: int, rows: Mapping[tuple[str, int], HeldOutRow]
) -> dict[tuple[int, str, int], float | None]:
    return {(seed, name, step): row.reward for (name, step), row in rows.items()}


def _point(point: Point, values: Scores) -> dict[str, Any]:
    arm, stage = point
    seeds = sorted({seed for seed, _, _ in values})
    by_seed = {seed: _over_tasks({k: v for k, v in values.items() if k[0] == seed}).mean for seed in seeds}
    return {"arm": arm, "stage": stage, **_over_tasks(values).as_json(), "by_seed": by_seed}


def _difference(before: Point, after: Point, points: Mapping[Point, Scores]) -> dict[str, Any]:
    """Paired by seed and task."""
    names = {"from": "/".join(before), "to": "/".join(after)}
    one, other = points.get(before, {}), points.get(after, {})
    pairs: dict[tuple[int, str, int], float | None] = {}
    for key in one.keys() & other.keys():
        a, b = one[key], other[key]
        pairs[key] = None if a is None or b is None else b - a
    if not any(value is not None for value in pairs.values()):
        return {**names, "mean": None, "low": None, "high": None, "n": 0, "verdict": None}
    interval = _over_tasks(pairs)
    return {**names, **interval.as_json(), "verdict": verdict(interval)}


def _over_tasks(values: Scores) -> Interval:
    by_task: dict[str, list[float | None]] = {}
    for (_, name, _), value in sorted(values.items()):
        by_task.setdefault(name, []).append(value)
    return cluster_bootstrap(by_task)


def study_markdown(report: Mapping[str, Any]) -> str:
    """The tables as a page."""
    lines = []
    for metric, table in report["metrics"].items():
        seeds = list(table["points"][0]["by_seed"])
        lines += [
            f"## {metric.replace('_', ' ')}",
            "",
            f"| arm | stage | mean of {len(seeds)} seeds (95 % interval) | by seed | tasks |",
            "| --- | --- | --- | --- | --- |",
        ]
        for one in table["points"]:
            by_seed = ", ".join(f"{value:.3f}" for value in one["by_seed"].values())
            lines.append(f"| {one['arm']} | {one['stage']} | {_span(one)} | {by_seed} | {one['n']} |")
        lines += ["", "| difference of the arms' ends | mean (95 % interval) | |", "| --- | --- | --- |"]
        for pair in table["differences"]:
            shown = _span(pair, "+") if pair["mean"] is not None else "–"
            lines.append(
                f"| {pair['to']} − {pair['from']} | {shown} | {pair['verdict'] or 'no task in common'} |"
            )
        lines.append("")
    return "\n".join(lines)


def _span(interval: Mapping[str, Any], sign: str = "") -> str:
    form = f"{sign}.3f"
    mean = format(interval["mean"], form)
    if interval["low"] is None:
        return f"{mean} (no interval)"
    return f"{mean} ({format(interval['low'], form)} to {format(interval['high'], form)})"
