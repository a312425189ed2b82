"""Train a policy on expert steps: ``python -m harness.train [recipe] [key=value …]``.

Without arguments it runs the demo: a small pretrained model, trajectories that come with the package, no GPU.
"""

import argparse
import sys
from collections.abc import Sequence

from harness.cli import add_recipe_arguments, new_run, recipe_and_overrides, resumed_run, run
from harness.config.load import load_recipe, shipped_recipes
from harness.run_folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises UserError."""
    options = _parser().parse_intermixed_args(arguments)
    resumed = resumed_run(options)
    if options.dry_run:
        from harness.training.dry_run import dry_run_of

        dry_run_of(*recipe_and_overrides(options))
        return 0
    recipe = RunFolder(resumed).recipe() if resumed else load_recipe(*recipe_and_overrides(options))
    folder = RunFolder(resumed or new_run(recipe.output, recipe.name))
    from harness.training.run import train
    from harness.training.study import run_study

    if recipe.study:
        run_study(recipe, folder, resume=resumed is not None)
    else:
        train(recipe, folder, resume=resumed is not None)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.train",
        description="Train a policy on expert steps: SFT, SRL and RLVR, alone or in sequence.",
        epilog="shipped recipes: " + ", ".join(shipped_recipes()),
    )
    add_recipe_arguments(parser, example="srl.trl.max_steps=5 seed=1")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
