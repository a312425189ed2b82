"""Several runs of one recipe, compared: every arm with every seed, each a run of its own in the study's folder."""

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.cli import UserError
from harness.config.load import make_recipe, set_key
from harness.config.tables import Recipe
from harness.console import Teller
from harness.reporting.read import read_run
from harness.reporting.schema import StudyReport
from harness.reporting.study import study_markdown, study_numbers
from harness.run_folder import RunFolder
from trajectories.store import atomic_write


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


def run_study(recipe: Recipe, folder: RunFolder, teller: Teller) -> StudyReport:
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
            f"go on with: python -m harness.train --resume {folder.path}\n"
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


def _is_finished(run: StudyRun) -> bool:
    manifest = run.folder.manifest
    return manifest.exists() and json.loads(manifest.read_text(encoding="utf-8")).get("status") == "finished"


def _do(run: StudyRun, command: Sequence[str], teller: Teller) -> int:
    """One run in a process of its own, what it says in log.txt; its exit code."""
    name = run.folder.path.name
    if run.folder.config.exists():
        words = ["--resume", str(run.folder.path)]
    else:
        path = run.folder.path.parent / f"{name}.yaml"
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
