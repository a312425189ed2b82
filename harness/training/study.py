"""Run every arm of a recipe with every seed, each in its own folder, and compare them."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.cli import UserError
from harness.config.load import as_yaml, set_key, validate
from harness.config.tables import Recipe
from harness.console import Console
from harness.reporting.read import read_run
from harness.reporting.schema import StudyReport
from harness.reporting.study import study_markdown, study_numbers
from harness.run_folder import RunFolder
from harness.training.trl_args import check_arguments
from trajectories.store import atomic_write


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """One arm with one seed."""

    arm: str
    seed: int
    recipe: Recipe
    folder: RunFolder


def plan_study(recipe: Recipe, folder: Path) -> list[StudyRun]:
    """Plan all runs of a study, seeds outermost, so that an interrupted study has whole seeds. Raises UserError."""
    assert recipe.study is not None
    runs = []
    for seed in recipe.study.seeds:
        for arm, overrides in recipe.study.arms.items():
            table = recipe.model_dump(mode="json", exclude={"study"})
            for key, value in overrides.items():
                set_key(table, key, value)
            name = f"{arm}-seed{seed}"
            table |= {"seed": seed, "name": name, "output": str(folder)}
            made = validate(Recipe, table, f"study.arms.{arm}")
            runs.append(StudyRun(arm=arm, seed=seed, recipe=made, folder=RunFolder(folder / name)))
    return runs


def check_study(recipe: Recipe, folder: Path) -> None:
    """Raise UserError for an arm that makes no recipe, or one that a stage would refuse."""
    for planned in plan_study(recipe, folder):
        check_arguments(planned.recipe, planned.folder)


def run_study(recipe: Recipe, folder: RunFolder, *, resume: bool) -> None:
    """Do the runs that are not done, then write and print their comparison.

    Raises UserError if a run fails, after the others have ended.
    """
    if not resume:
        check_study(recipe, folder.path)  # before a folder is made
        folder.create(recipe)
    print(study_markdown(_run_study(recipe, folder, Console())))
    print(f"study: {folder.path / 'study.json'}, study.md; each run's own report in its folder")


def _run_study(recipe: Recipe, folder: RunFolder, console: Console) -> StudyReport:
    assert recipe.study is not None
    runs = plan_study(recipe, folder.path)
    left = [run for run in runs if run.folder.read_manifest().get("status") != "finished"]
    parallel = recipe.study.parallel
    console.info(f"study: {folder.path}; {len(left)} of {len(runs)} runs to do, {parallel} at once")
    command = [*(recipe.study.command or (sys.executable,)), "-m", "harness.train"]
    with ThreadPoolExecutor(parallel) as pool:
        codes = list(pool.map(lambda run: _do(run, command, console), left))
    if failed := [run.folder.path.name for run, code in zip(left, codes, strict=True) if code]:
        raise UserError(
            f"{len(failed)} of {len(left)} runs failed ({', '.join(failed)}): see their log.txt; "
            f"resume with: python -m harness.train --resume {folder.path}\n"
            f"{failed[0]}: {_last_line(folder.path / failed[0] / 'log.txt')}"
        )
    report = study_numbers([(run.arm, run.seed, read_run(run.folder.path)) for run in runs])
    folder.write_json(folder.path / "study.json", report)
    with atomic_write(folder.path / "study.md") as out:
        out.write(study_markdown(report))
    return report


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")


def _do(run: StudyRun, command: Sequence[str], console: Console) -> int:
    """Run one arm with one seed in its own process, output in log.txt; return its exit code."""
    name = run.folder.path.name
    if run.folder.config.exists():
        words = ["--resume", str(run.folder.path)]
    else:
        path = run.folder.path.parent / f"{name}.yaml"
        with atomic_write(path) as out:
            out.write(as_yaml(run.recipe))
        words = [str(path)]
    console.info(f"{name}: started")
    run.folder.path.mkdir(parents=True, exist_ok=True)
    with (run.folder.path / "log.txt").open("a", encoding="utf-8") as log:
        done = subprocess.run([*command, *words], stdout=log, stderr=subprocess.STDOUT, check=False)
    code = done.returncode
    console.info(f"{name}: {'finished' if code == 0 else f'failed with exit code {code}'}")
    return code
