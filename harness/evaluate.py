"""Attempts at tasks, judged by tests in containers: ``python -m harness.evaluate [recipe] [key=value …]``.

Without arguments the embedded set: the demo's tasks, solved by a replay of their expert in a real box, with the
reference patch and the empty one of each judged beside it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import UserError, add_recipe_arguments, new_run, recipe_and_overrides, resumed_run, run

if TYPE_CHECKING:
    from environments.swe.tasks import SWETask
    from harness.evaluation.config import EvaluationRecipe
    from harness.evaluation.records import EvaluationFolder, Prediction
    from harness.evaluation.runner import Verdicts
    from harness.evaluation.work import Worker


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Raises UserError."""
    options = _parser().parse_intermixed_args(arguments)
    from harness.evaluation.config import load_evaluation, saved_evaluation
    from harness.evaluation.records import EvaluationFolder

    if resumed := resumed_run(options):
        folder = EvaluationFolder(resumed)
        return _evaluate(_prepare(saved_evaluation(folder)), folder)
    name, overrides = recipe_and_overrides(options)
    recipe = load_evaluation(name, [*_mode(options), *overrides])
    job = _prepare(recipe)  # what is wrong is told before a folder is made
    if options.dry_run:
        return _dry_run(job)
    folder = EvaluationFolder(new_run(recipe.output, recipe.name))
    folder.create(recipe)
    return _evaluate(job, folder)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A recipe with what its names stand for."""

    recipe: "EvaluationRecipe"
    tasks: "tuple[SWETask, ...]"
    worker: "Worker"
    verdicts: "Verdicts"  # that the worker asks
    model_name: str | None  # None: no predictions are judged

    @property
    def samples(self) -> int:
        return 1 if self.recipe.predictions else self.recipe.samples


def _prepare(recipe: "EvaluationRecipe") -> _Job:
    """Raises UserError."""
    from harness.evaluation.runner import Verdicts
    from harness.evaluation.workers import make_worker

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
    from harness.evaluation.records import PREDICTIONS, read_recipe_predictions
    from harness.evaluation.tasks import all_swe_tasks, filtered

    predictions: dict[str, Prediction] = {}
    try:
        tasks = all_swe_tasks(recipe.tasks)
        if PREDICTIONS in recipe.judge:
            predictions = read_recipe_predictions(recipe.predictions, [task.instance_id for task in tasks])
        return filtered(tasks, recipe.tasks), predictions
    except TaskError as error:
        raise UserError(str(error), exit_code=2) from error


def _dry_run(job: _Job) -> int:
    import yaml

    table = job.recipe.model_dump(mode="json")
    print(yaml.safe_dump(table, sort_keys=False, allow_unicode=True), end="")
    print(f"# {len(job.tasks)} tasks of {len({task.repo for task in job.tasks})} repositories")
    print("# nothing was judged: this was a dry run")
    return 0


def _evaluate(job: _Job, folder: "EvaluationFolder") -> int:
    from environments.engine import connect
    from environments.failures import EnvironmentFailure
    from harness.console import Teller
    from harness.evaluation.execution import make_execute
    from harness.evaluation.images import provide_images
    from harness.evaluation.runner import Progress, finished_items, items_of, run_items

    recipe, teller = job.recipe, Teller()
    execute = make_execute(recipe, job.worker)
    teller.say(f"run: {folder.path}")
    try:
        connect()  # in the main thread, where signals can be taken over
        provide_images(recipe.tasks.source, job.tasks, teller)
    except EnvironmentFailure as error:
        raise UserError(str(error)) from error
    items = items_of(job.tasks, recipe.judge, job.samples)
    left = len(items) - len(finished_items(folder) & {item.key for item in items})
    teller.say(f"{len(job.tasks)} tasks, {left} of {len(items)} patches to judge, {recipe.workers} at once")
    _begin_manifest(folder)
    try:
        run_items(
            items,
            execute,
            folder,
            job.verdicts,
            model_name=job.model_name or "",
            on_done=Progress(left, teller.say),
        )
    except BaseException:
        folder.update_manifest(status="interrupted")
        teller.say(f"stopped; go on with: python -m harness.evaluate --resume {folder.path}")
        raise
    folder.update_manifest(status="finished")
    _report(job, folder)
    return 0


def _begin_manifest(folder: "EvaluationFolder") -> None:
    from environments.swe.grading import swebench_version
    from harness.run_folder import describe_machine, now

    machine = describe_machine()
    machine["versions"]["swebench"] = swebench_version()
    folder.update_manifest(run_name=folder.path.name, status="running", started=now(), **machine)


def _report(job: _Job, folder: "EvaluationFolder") -> None:
    from harness.evaluation.records import read_rows
    from harness.evaluation.report import build_report
    from harness.evaluation.summary import print_report

    report = build_report(
        job.tasks,
        read_rows(folder.attempts),
        read_rows(folder.rollouts),
        read_rows(folder.verdicts),
        samples=job.samples,
        model_name=job.model_name,
    )
    report["versions"] = json.loads(folder.manifest.read_text(encoding="utf-8"))["versions"]
    folder.write_json(folder.report, report)
    print_report(report, folder.report)


if __name__ == "__main__":
    sys.exit(run(main))
