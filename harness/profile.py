"""Score an initial policy's completions of the training steps: ``python -m harness.profile [recipe] [key=value …]``.

Samples several completions of each step, or of each verified task; a training recipe selects by their mean and variance
(``data.select``, ``outcomes.select``).
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Literal

from harness.cli import add_recipe_arguments, new_run, recipe_and_overrides, resumed_run, run
from harness.config.load import load_recipe, shipped_recipes
from harness.run_folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises UserError."""
    options = _parser().parse_intermixed_args(arguments)
    resumed = resumed_run(options)
    if resumed is None:
        recipe = load_recipe(*recipe_and_overrides(options))
    from harness.training import profiling

    if resumed is not None:
        profiling.resume(RunFolder(resumed))
        return 0
    stage: Literal["srl", "rlvr"] = options.stage or ("rlvr" if set(recipe.stages) == {"rlvr"} else "srl")
    if options.dry_run:
        profiling.dry_run(recipe, stage)
        return 0
    folder = RunFolder(new_run(recipe.output, f"profile-{recipe.name}" if not options.name else options.name))
    folder.create(recipe)
    profiling.profile(recipe, folder, stage, options.adapter)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.profile",
        description="Sample completions of every training step with the initial policy and store what they score, "
        "so that training can be restricted to steps with a spread.",
        epilog="shipped recipes: " + ", ".join(shipped_recipes()),
    )
    add_recipe_arguments(parser, example="data.train_steps=200 srl.trl.num_generations=8")
    parser.add_argument(
        "--stage", choices=("srl", "rlvr"), help="whose rewards (default: srl, if the recipe has it)"
    )
    parser.add_argument(
        "--adapter", metavar="DIR", help="a LoRA adapter over the recipe's model, as initial policy"
    )
    parser.add_argument("--name", help="of the profile's folder (default: profile-<the recipe's name>)")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
