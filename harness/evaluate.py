"""Judge patches in containers: ``python -m harness.evaluate [recipe] [key=value …]``.

Without arguments the embedded set: the demo's tasks, solved by a replay of their expert in a real box, with the
reference patch and the empty one judged beside it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import UserError, run

if TYPE_CHECKING:
    from environments.swe.tasks import SWETask
    from harness.evaluation.config import EvaluationRecipe
    from harness.evaluation.records import EvaluationFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Raises UserError."""
    options = _parser().parse_args(arguments)
    from harness.evaluation.config import load_evaluation, saved_evaluation
    from harness.evaluation.records import EvaluationFolder

    if options.resume:
        if options.recipe or options.overrides or options.dry_run:
            raise UserError(
                "--resume goes on with a run as it was: it takes no recipe and no overrides", exit_code=2
            )
        folder = EvaluationFolder(Path(options.resume))
        return _evaluate(saved_evaluation(folder), folder)
    words = [word for word in (options.recipe, *options.overrides) if word]
    named = words[:1] if words and "=" not in words[0] else []
    overrides = [*words[len(named) :], *_mode(options)]
    recipe = load_evaluation(named[0] if named else "demo", overrides)
    if options.dry_run:
        return _dry_run(recipe)
    name = recipe.name.replace("{time}", datetime.now().strftime("%Y%m%d-%H%M%S"))
    folder = EvaluationFolder(Path(recipe.output) / name)
    tasks = load(recipe)  # a wrong task or file is told before a folder is made
    folder.create(recipe)
    return _evaluate(recipe, folder, tasks)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.evaluate",
        description="Attempt tasks with a policy, judge the patches by their tests in containers, write a report.",
        epilog="shipped recipes: demo and others, see harness/recipes/evaluate",
    )
    parser.add_argument(
        "recipe", nargs="?", help="a YAML file or the name of a shipped recipe (default: demo)"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="e.g. tasks.source=verified workers=8"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--gold", action="store_true", help="judge the reference patches and nothing else")
    mode.add_argument("--noop", action="store_true", help="judge the empty patch and nothing else")
    mode.add_argument("--predictions", metavar="FILE", help="judge anyone's predictions (.jsonl or .json)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved recipe and check all names in it"
    )
    parser.add_argument(
        "--resume", metavar="RUN", help="go on with an interrupted run, e.g. outputs/verified"
    )
    return parser


def _mode(options: argparse.Namespace) -> list[str]:
    """The mode flags as overrides: what a run was told stands in its config.yaml."""
    if options.gold:
        return ["judge=[gold]"]
    if options.noop:
        return ["judge=[noop]"]
    return (
        [f"predictions={json.dumps(str(Path(options.predictions).absolute()))}"]
        if options.predictions
        else []
    )


def load(recipe: "EvaluationRecipe") -> tuple["SWETask", ...]:
    """The tasks of a recipe, filtered; its predictions, if any, are checked against all of them. Raises UserError."""
    from environments.swe.tasks import TaskError, load_tasks, select_tasks
    from harness.demo.instances import demo_instances
    from harness.evaluation.records import read_predictions

    table = recipe.tasks
    try:
        if table.source == "demo":
            tasks = demo_instances()
        else:
            tasks = load_tasks(table.source, split=table.split, columns_from=table.columns_from)
        if recipe.predictions:
            read_predictions(Path(recipe.predictions), [task.instance_id for task in tasks])
        return select_tasks(tasks, ids=table.ids, repos=table.repos, regex=table.regex, span=table.slice)
    except TaskError as error:
        raise UserError(str(error), exit_code=2) from error


def _dry_run(recipe: "EvaluationRecipe") -> int:
    import yaml

    from harness.evaluation.policies import make_proposer

    tasks = load(recipe)
    make_proposer(recipe)
    print(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
    print(f"# {len(tasks)} tasks of {len({task.repo for task in tasks})} repositories")
    print("# nothing was judged: this was a dry run")
    return 0


def _evaluate(
    recipe: "EvaluationRecipe", folder: "EvaluationFolder", tasks: "Sequence[SWETask] | None" = None
) -> int:
    from environments.engine import connect
    from environments.failures import EnvironmentFailure
    from harness.console import Teller
    from harness.evaluation.execution import make_execute
    from harness.evaluation.images import provide_images
    from harness.evaluation.policies import make_worker
    from harness.evaluation.runner import Progress, Verdicts, finished_items, items_of, run_items

    teller = Teller()
    tasks = load(recipe) if tasks is None else tasks
    teller.say(f"run: {folder.path}")
    try:
        connect()
        provide_images(recipe, tasks, teller)
    except EnvironmentFailure as error:
        raise UserError(str(error)) from error
    items = items_of(tasks, recipe.judge, recipe.samples)
    left = len(items) - len(finished_items(folder) & {item.key for item in items})
    teller.say(f"{len(tasks)} tasks, {left} of {len(items)} attempts to judge, {recipe.workers} at once")
    verdicts = Verdicts()
    _begin_manifest(recipe, folder)
    try:
        worker = make_worker(recipe, verdicts)
        run_items(items, make_execute(recipe, worker), folder, verdicts, Progress(left, teller.say))
    except BaseException:
        folder.update_manifest(status="interrupted")
        teller.say(f"stopped; go on with: python -m harness.evaluate --resume {folder.path}")
        raise
    folder.update_manifest(status="finished")
    _report(recipe, folder, tasks)
    return 0


def _begin_manifest(recipe: "EvaluationRecipe", folder: "EvaluationFolder") -> None:
    from environments.swe.grading import swebench_version
    from harness.run_folder import describe_machine, now

    machine = describe_machine()
    machine["versions"]["swebench"] = swebench_version()
    folder.update_manifest(run_name=folder.path.name, status="running", started=now(), **machine)


def _report(recipe: "EvaluationRecipe", folder: "EvaluationFolder", tasks: "Sequence[SWETask]") -> None:
    from harness.evaluation.records import read_rows
    from harness.evaluation.report import build_report
    from harness.evaluation.summary import print_report

    manifest = json.loads(folder.manifest.read_text(encoding="utf-8"))
    rows: dict[str, Any] = {
        name: read_rows(getattr(folder, name)) for name in ("attempts", "rollouts", "verdicts")
    }
    predictions = read_rows(folder.predictions)
    name = predictions[-1]["model_name_or_path"] if predictions else ", ".join(recipe.judge)
    report = build_report(tasks, **rows, samples=recipe.samples, model_name=name)
    report["versions"] = manifest["versions"]
    folder.write_json(folder.report, report)
    print_report(report, folder.report)


if __name__ == "__main__":
    sys.exit(run(main))
