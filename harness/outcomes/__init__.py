"""Tasks whose answers are verified: from a verdict of an environment to a reward, and to held-out accuracy."""

from harness.cli import UserError
from harness.config import Recipe
from harness.console import Teller
from harness.outcomes.base import Outcome, Outcomes, VerifiedReward
from harness.step_data import StepData


def make_outcomes(recipe: Recipe, data: StepData, teller: Teller) -> Outcomes | None:
    """What the recipe's table ``outcomes`` stands for, None without one. Raises UserError."""
    if recipe.outcomes is None:
        return None
    if recipe.outcomes.domain == "math":
        from harness.outcomes.math import math_outcomes

        return math_outcomes(recipe.outcomes, data, seed=recipe.seed)
    from environments.swe.tasks import TaskError
    from harness.outcomes.swe import swe_outcomes

    try:
        return swe_outcomes(recipe.outcomes, recipe.data, seed=recipe.seed, teller=teller)
    except TaskError as error:
        raise UserError(f"outcomes.tasks: {error}", exit_code=2) from error


__all__ = ["Outcome", "Outcomes", "VerifiedReward", "make_outcomes"]
