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
    split_seed = recipe.split_seed
    if recipe.outcomes.domain == "math":
        from harness.outcomes.math import math_outcomes

        return math_outcomes(recipe.outcomes, data, seed=split_seed)
    from environments.swe.tasks import TaskError
    from harness.outcomes.swe import swe_outcomes

    try:
        return swe_outcomes(recipe.outcomes, recipe.data, seed=split_seed, teller=teller)
    except TaskError as error:
        raise UserError(f"outcomes.tasks: {error}", exit_code=2) from error


def describe_outcomes(recipe: Recipe, data: StepData) -> str | None:
    """What make_outcomes would make, in words; nothing is started. Raises UserError."""
    if recipe.outcomes is None:
        return None
    if recipe.outcomes.domain == "math":
        made = make_outcomes(recipe, data, Teller(speaks=False))
        assert made is not None
        made.close()
        return f"{len(made.train)} problems to train on, {len(made.validation)} held out"
    from environments.swe.tasks import TaskError
    from harness.evaluation.tasks import load_swe_tasks

    try:
        return f"{len(load_swe_tasks(recipe.outcomes.tasks))} SWE tasks, judged in containers"
    except TaskError as error:
        raise UserError(f"outcomes.tasks: {error}", exit_code=2) from error


__all__ = ["Outcome", "Outcomes", "VerifiedReward", "describe_outcomes", "make_outcomes"]
