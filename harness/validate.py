"""Validate a policy on a recipe's held-out steps: ``python -m harness.validate [recipe] policy.name=… [key=value …]``.

What training measures of its model between updates is measured here of any policy, such as a server of a checkpoint.
The lines are those of training, made by the same code.
"""

import argparse
import sys
from collections.abc import Sequence

from harness.cli import add_recipe_arguments, new_run, recipe_and_overrides, resumed_run, run
from harness.config.load import as_yaml, shipped_recipes, validate
from harness.config.validation import PolicyValidationRecipe, load_policy_validation
from harness.run_folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises UserError."""
    options = _parser().parse_intermixed_args(arguments)
    resumed = resumed_run(options)
    if resumed is None:
        recipe = load_policy_validation(*recipe_and_overrides(options))
        folder = RunFolder(new_run(recipe.output, options.name or f"validate-{recipe.name}"))
    else:
        folder = RunFolder(resumed)
        recipe = validate(PolicyValidationRecipe, folder.saved_table(), str(folder.config))
    from harness.training.policy_validation import load_work, validate_policy

    work = load_work(recipe)
    if options.dry_run:
        print(as_yaml(recipe), end="")
        print(f"# {work.describe()}\n# nothing was asked: this was a dry run")
        return 0
    if resumed is None:
        folder.create(recipe)
    validate_policy(work, folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.validate",
        description="Measure a policy, such as a server of a checkpoint, on the held-out steps and tasks of a training "
        "recipe, as training measures its model.",
        epilog="A run's config.yaml is a recipe too. Shipped recipes: " + ", ".join(shipped_recipes()),
    )
    add_recipe_arguments(
        parser, example="policy.name=endpoint policy.settings.base_url=http://localhost:8000/v1"
    )
    parser.add_argument("--name", help="of the folder (default: validate-<the recipe's name>)")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
