"""The recipe of a validation of a policy: a training recipe, and whose completions are measured."""

from collections.abc import Sequence

from pydantic import Field

from harness.config.evaluation import PolicyTable
from harness.config.load import read_recipe, shipped_recipes, validate
from harness.config.tables import Recipe


class PolicyValidationRecipe(Recipe):
    """A training recipe, of which the held-out steps and tasks are used, and a policy."""

    policy: PolicyTable
    workers: int = Field(default=4, ge=1)  # requests at once


def load_policy_validation(name: str, overrides: Sequence[str] = ()) -> PolicyValidationRecipe:
    """Load a training recipe by its shipped name or path, with a policy in the overrides. Raises UserError."""
    return validate(PolicyValidationRecipe, *read_recipe(name, overrides, shipped_recipes()))
