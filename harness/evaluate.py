"""Attempts at tasks, and their verdicts: ``python -m harness.evaluate [recipe] [key=value …]``.

Without arguments the embedded set: the demo's tasks, solved by a replay of their expert in real containers, with the
reference patch and the empty one of each verified beside it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli import add_recipe_arguments, recipe_and_overrides, resumed_run, run
from harness.config.load import shipped_recipes


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Raises UserError."""
    options = _parser().parse_intermixed_args(arguments)
    from harness.config.evaluation import load_evaluation
    from harness.evaluation.folder import EvaluationFolder
    from harness.evaluation.math.job import make_math_job
    from harness.evaluation.run import evaluate, show
    from harness.evaluation.swe.job import make_swe_job
    from harness.evaluation.trained import with_trained_policy

    folder = None
    if resumed := resumed_run(options):
        folder = EvaluationFolder(resumed)
        recipe = folder.evaluation()
    else:
        name, overrides = recipe_and_overrides(options)
        recipe = with_trained_policy(load_evaluation(name, [*_mode(options), *overrides]))
    # What is wrong in a recipe shows before a folder is made.
    if recipe.domain == "math":
        math = make_math_job(recipe)
        return show(math) if options.dry_run else evaluate(math, folder)
    swe = make_swe_job(recipe)
    return show(swe) if options.dry_run else evaluate(swe, folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.evaluate",
        description="Let a policy attempt tasks in containers, or take anyone's patches; verify them by the tests of "
        "their tasks and write a report.",
        epilog="shipped recipes: " + ", ".join(shipped_recipes("evaluate")),
    )
    add_recipe_arguments(parser, example="tasks.source=tasks.jsonl workers=8")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--gold", action="store_true", help="verify the reference patches and nothing else")
    mode.add_argument("--noop", action="store_true", help="verify the empty patch and nothing else")
    mode.add_argument("--predictions", metavar="FILE", help="verify these (.jsonl or .json) beside the rest")
    return parser


def _mode(options: argparse.Namespace) -> list[str]:
    """Return the mode as overrides, so that the run's config.yaml has it; overrides of the command line win."""
    if options.gold:
        return ["judge=[gold]"]
    if options.noop:
        return ["judge=[noop]"]
    if options.predictions:
        path = json.dumps(str(Path(options.predictions).absolute()))
        return [f"predictions={path}", "judge=[gold, noop, predictions]"]
    return []


if __name__ == "__main__":
    sys.exit(run(main))
