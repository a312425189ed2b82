"""Attempts at tasks, judged by tests in containers: ``python -m harness.evaluate [recipe] [key=value …]``.

Without arguments the embedded set: the demo's tasks, solved by a replay of their expert in a real box, with the
reference patch and the empty one of each judged beside it.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import UserError, add_recipe_arguments, new_run, recipe_and_overrides, resumed_run, run

if TYPE_CHECKING:
    from environments.swe.tasks import SWETask
    from harness.config.evaluation import EvaluationRecipe
    from harness.console import Console
    from harness.evaluation.folder import EvaluationFolder
    from harness.evaluation.math.job import MathJob
    from harness.evaluation.swe.attempts import Worker
    from harness.evaluation.swe.predictions import Prediction
    from harness.evaluation.swe.runner import Verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Raises UserError."""
    options = _parser().parse_intermixed_args(arguments)
    from harness.config.evaluation import load_evaluation
    from harness.evaluation.folder import EvaluationFolder
    from harness.evaluation.trained import with_trained_policy

    if resumed := resumed_run(options):
        folder = EvaluationFolder(resumed)
        recipe = folder.evaluation()
        contamination = _contamination(recipe)
        return _evaluate(_prepare(recipe), contamination, folder)
    name, overrides = recipe_and_overrides(options)
    recipe = with_trained_policy(load_evaluation(name, [*_mode(options), *overrides]))
    contamination = _contamination(recipe)  # before a model is loaded
    job = _prepare(recipe)  # what is wrong is told before a folder is made
    if options.dry_run:
        return _dry_run(job, contamination)
    folder = EvaluationFolder(new_run(recipe.output, recipe.name))
    folder.create(recipe)
    return _evaluate(job, contamination, folder)


def _contamination(recipe: "EvaluationRecipe") -> dict[str, Any] | None:
    """What of the tasks was trained on, None if nobody asked. Raises UserError where that is not allowed."""
    table = recipe.contamination
    if not table.train:
        return None
    from harness.data.contamination_gate import check_evaluation
    from harness.evaluation.tasks import math_tasks

    files = [Path(name).expanduser() for name in table.train]
    for file in files:
        if not file.is_file():
            raise UserError(f"contamination.train: no file {file}", exit_code=2)
    tasks = math_tasks(recipe.tasks) if recipe.domain == "math" else load(recipe)[0]
    return {**table.model_dump(mode="json"), **check_evaluation(tasks, files, table).as_table()}


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A recipe of the domain swe with what its names stand for."""

    recipe: "EvaluationRecipe"
    tasks: "tuple[SWETask, ...]"
    worker: "Worker"
    verdicts: "Verdicts"  # that the worker asks
    model_name: str | None  # None: no predictions are judged

    @property
    def samples(self) -> int:
        return 1 if self.recipe.predictions else self.recipe.samples

    def describe(self) -> str:
        return f"{len(self.tasks)} tasks of {len({task.repo for task in self.tasks})} repositories"

    def run(self, folder: "EvaluationFolder", console: "Console") -> None:
        from environments.failures import EnvironmentFailure
        from environments.sandbox.engine import connect
        from harness.evaluation.executors import make_execute
        from harness.evaluation.swe.images import provide_images
        from harness.evaluation.swe.runner import Progress, finished_items, items_of, run_items

        recipe = self.recipe
        execute = make_execute(recipe, self.worker)
        try:
            connect()  # in the main thread, where signals can be taken over
            provide_images(recipe.tasks.source, self.tasks, console)
        except EnvironmentFailure as error:
            raise UserError(str(error)) from error
        items = items_of(self.tasks, recipe.judge, self.samples)
        left = len(items) - len(finished_items(folder) & {item.key for item in items})
        console.info(
            f"{len(self.tasks)} tasks, {left} of {len(items)} patches to judge, {recipe.workers} at once"
        )
        run_items(
            items,
            execute,
            folder,
            self.verdicts,
            model_name=self.model_name or "",
            on_done=Progress(left, console.info),
        )

    def report(self, folder: "EvaluationFolder") -> dict[str, Any]:
        from harness.demo import expert_path
        from harness.evaluation.swe.calls import expert_first_calls
        from harness.evaluation.swe.report import build_report
        from harness.jsonl import read_rows
        from trajectories.store import read_trajectories

        expert = read_trajectories(expert_path()) if self.recipe.tasks.source == "demo" else ()
        return build_report(
            self.tasks,
            read_rows(folder.attempts),
            read_rows(folder.rollouts),
            read_rows(folder.verdicts),
            samples=self.samples,
            model_name=self.model_name,
            first_calls=expert_first_calls(expert),
        )

    @staticmethod
    def print_report(report: "Mapping[str, Any]", path: Path) -> None:
        from harness.evaluation.summary import print_report

        print_report(report, path)


def _prepare(recipe: "EvaluationRecipe") -> "_Job | MathJob":
    """Raises UserError."""
    if recipe.domain == "math":
        from harness.evaluation.math.job import prepare_math

        return prepare_math(recipe)
    from harness.evaluation.swe.runner import Verdicts
    from harness.evaluation.swe.worker import make_worker

    tasks, predictions = load(recipe)
    verdicts = Verdicts()
    worker, model_name = make_worker(recipe, predictions, verdicts)
    return _Job(recipe=recipe, tasks=tasks, worker=worker, verdicts=verdicts, model_name=model_name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.evaluate",
        description="Let a policy attempt tasks in containers, or take anyone's patches; judge them by the tests of "
        "their tasks and write a report.",
    )
    add_recipe_arguments(parser, example="tasks.source=tasks.jsonl workers=8")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--gold", action="store_true", help="judge the reference patches and nothing else")
    mode.add_argument("--noop", action="store_true", help="judge the empty patch and nothing else")
    mode.add_argument("--predictions", metavar="FILE", help="judge these (.jsonl or .json) beside the rest")
    return parser


def _mode(options: argparse.Namespace) -> list[str]:
    """The mode as overrides, so that it stands in the run's config.yaml; what is written out wins over it."""
    if options.gold:
        return ["judge=[gold]"]
    if options.noop:
        return ["judge=[noop]"]
    if options.predictions:
        path = json.dumps(str(Path(options.predictions).absolute()))
        return [f"predictions={path}", "judge=[gold, noop, predictions]"]
    return []


def load(recipe: "EvaluationRecipe") -> "tuple[tuple[SWETask, ...], dict[str, Prediction]]":
    """The tasks of a recipe, filtered, and its predictions, checked against all of them. Raises UserError."""
    from environments.swe.tasks import TaskError
    from harness.evaluation.swe.predictions import PREDICTIONS, read_recipe_predictions
    from harness.evaluation.tasks import all_swe_tasks, filtered

    predictions: dict[str, Prediction] = {}
    try:
        tasks = all_swe_tasks(recipe.tasks)
        if PREDICTIONS in recipe.judge:
            predictions = read_recipe_predictions(recipe.predictions, [task.instance_id for task in tasks])
        return filtered(tasks, recipe.tasks), predictions
    except TaskError as error:
        raise UserError(str(error), exit_code=2) from error


def _dry_run(job: "_Job | MathJob", contamination: Mapping[str, Any] | None) -> int:
    import yaml

    table = job.recipe.model_dump(mode="json")
    print(yaml.safe_dump(table, sort_keys=False, allow_unicode=True), end="")
    print(f"# {job.describe()}")
    for cause, count in contamination["causes"].items() if contamination else ():
        found = f"{count['tasks']} tasks in {count['trained_on']}, {count['not_checked']} not checked"
        print(f"# trained on, {cause}: {found}")
    print("# nothing was judged: this was a dry run")
    return 0


def _evaluate(job: "_Job | MathJob", contamination: dict[str, Any] | None, folder: "EvaluationFolder") -> int:
    from harness.console import Console

    console = Console()
    console.info(f"run: {folder.path}")
    _begin_manifest(folder)
    try:
        job.run(folder, console)
    except BaseException:
        folder.update_manifest(status="interrupted")
        console.info(f"stopped; go on with: python -m harness.evaluate --resume {folder.path}")
        raise
    folder.update_manifest(status="finished")
    report = job.report(folder)
    if contamination is not None:
        report["contamination"] = contamination
    report["versions"] = json.loads(folder.manifest.read_text(encoding="utf-8"))["versions"]
    folder.write_json(folder.report, report)
    job.print_report(report, folder.report)
    return 0


def _begin_manifest(folder: "EvaluationFolder") -> None:
    from importlib.metadata import version

    from harness.machine.describe import describe_machine
    from harness.run_folder import now

    machine = describe_machine()
    machine["versions"] |= {name: version(name) for name in ("swebench", "math-verify")}
    folder.update_manifest(run_name=folder.path.name, status="running", started=now(), **machine)


if __name__ == "__main__":
    sys.exit(run(main))
