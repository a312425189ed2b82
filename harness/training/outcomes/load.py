"""Load the verified tasks that a recipe names."""

from environments.swe.tasks import TaskError
from harness.cli import user_errors
from harness.config.tables import Recipe
from harness.data.step_data import StepData
from harness.training.outcomes.base import VerifiedTasks
from harness.training.outcomes.math import load_math
from harness.training.outcomes.swe import load_swe


def load_tasks(recipe: Recipe, data: StepData) -> VerifiedTasks | None:
    """Load and split the tasks of the table ``outcomes``; None without one. Raises UserError."""
    table = recipe.outcomes
    if table is None:
        return None
    if table.domain == "math":
        return load_math(table, data, seed=recipe.split_seed)
    with user_errors(TaskError, about="outcomes.tasks", usage=True):
        return load_swe(table, recipe.data, seed=recipe.split_seed)


def describe(tasks: VerifiedTasks, domain: str) -> str:
    """Say how many tasks there are, in one line."""
    what, how = ("problems", "") if domain == "math" else ("SWE tasks", ", verified in containers")
    return f"{len(tasks.split.train)} {what} to train on, {len(tasks.split.validation)} held out{how}"
