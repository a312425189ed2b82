"""Tasks whose answers are verified: from a verdict of an environment to a reward, and to held-out accuracy."""

from typing import TYPE_CHECKING

from harness.cli import UserError
from harness.config.tables import Recipe
from harness.console import Console
from harness.data.step_data import StepData
from harness.training.outcomes.base import Outcome, Outcomes, Sides, VerifiedReward

if TYPE_CHECKING:
    from environments.math.tasks import MathTask
    from environments.swe.tasks import SWETask


def make_outcomes(recipe: Recipe, data: StepData, console: Console) -> Outcomes | None:
    """What the recipe's table ``outcomes`` stands for, None without one. Raises UserError."""
    if recipe.outcomes is None:
        return None
    split_seed = recipe.split_seed
    if recipe.outcomes.domain == "math":
        from harness.training.outcomes.math import math_outcomes

        return math_outcomes(recipe.outcomes, data, seed=split_seed)
    from environments.swe.tasks import TaskError
    from harness.training.outcomes.swe import swe_outcomes

    try:
        return swe_outcomes(recipe.outcomes, recipe.data, seed=split_seed, console=console)
    except TaskError as error:
        raise UserError(f"outcomes.tasks: {error}", exit_code=2) from error


def outcome_tasks(recipe: Recipe, data: StepData) -> "Sides[MathTask] | Sides[SWETask] | None":
    """The tasks that make_outcomes would take; nothing is started. Raises UserError."""
    if recipe.outcomes is None:
        return None
    if recipe.outcomes.domain == "math":
        from harness.training.outcomes.math import math_sides

        return math_sides(recipe.outcomes, data, seed=recipe.split_seed)
    from environments.swe.tasks import TaskError
    from harness.training.outcomes.swe import swe_sides

    try:
        return swe_sides(recipe.outcomes, recipe.data, seed=recipe.split_seed)
    except TaskError as error:
        raise UserError(f"outcomes.tasks: {error}", exit_code=2) from error


def describe_outcomes(recipe: Recipe, data: StepData) -> str | None:
    """What make_outcomes would make, in words. Raises UserError."""
    if recipe.outcomes is None:
        return None
    sides = outcome_tasks(recipe, data)
    assert sides is not None
    what, judged = (
        ("problems", "") if recipe.outcomes.domain == "math" else ("SWE tasks", ", judged in containers")
    )
    return f"{len(sides.train)} {what} to train on, {len(sides.validation)} held out{judged}"


__all__ = [
    "Outcome",
    "Outcomes",
    "Sides",
    "VerifiedReward",
    "describe_outcomes",
    "make_outcomes",
    "outcome_tasks",
]
