"""Everything that a run reads before it starts, loaded and checked once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from harness.cli import UserError, raise_all
from harness.config.tables import Recipe
from harness.data.contamination import Contamination
from harness.data.scoring import make_rewards
from harness.data.step_data import StepData, load_step_data, make_format
from harness.data.tools import AUTO
from harness.training.contamination import check_training
from harness.training.outcomes.base import VerifiedTasks
from harness.training.outcomes.load import load_tasks
from srl_agent.rewards import WeightedRewards

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A recipe with the data, tasks and rewards that it names."""

    recipe: Recipe  # with the data's tools in place of actions.tools: auto
    data: StepData
    tasks: VerifiedTasks | None
    rewards: WeightedRewards
    contamination: Contamination | None  # None: not checked, or no evaluation set is named


@dataclass(kw_only=True)
class Loaded:
    """The inputs of a recipe that could be loaded, and why the others could not."""

    recipe: Recipe
    data: StepData | None = None
    tasks: VerifiedTasks | None = None
    rewards: WeightedRewards | None = None
    contamination: Contamination | None = None
    problems: list[UserError] = field(default_factory=list)

    def inputs(self) -> Inputs | None:
        """Return the inputs; None if a part of them is missing."""
        if self.problems or self.data is None or self.rewards is None:
            return None
        return Inputs(
            recipe=self.recipe,
            data=self.data,
            tasks=self.tasks,
            rewards=self.rewards,
            contamination=self.contamination,
        )

    def _tried(self, load: Callable[[], T]) -> T | None:
        try:
            return load()
        except UserError as problem:
            self.problems.append(problem)
            return None

    def load(self, *, check_contamination: bool) -> None:
        recipe = self.recipe
        data = self.data = self._tried(lambda: load_step_data(recipe))
        if data is None:
            # Rewards need only the syntax: their settings are checked without data, too.
            named = recipe.actions.tools if recipe.actions.tools != AUTO else "bash"
            alone = recipe.model_copy(update={"actions": recipe.actions.model_copy(update={"tools": named})})
            self.rewards = self._tried(lambda: make_rewards(recipe, make_format(alone)))
            return
        self.recipe = recipe.model_copy(
            update={"actions": recipe.actions.model_copy(update={"tools": data.tools})}
        )
        self.rewards = self._tried(lambda: make_rewards(recipe, data.action_format))
        tasks = self.tasks = self._tried(lambda: load_tasks(recipe, data))
        if check_contamination:
            self.contamination = self._tried(lambda: check_training(recipe, data, tasks))


def load_parts(recipe: Recipe, *, check_contamination: bool = True) -> Loaded:
    """Load and check what a recipe names, as much of it as there is; nothing is started."""
    loaded = Loaded(recipe=recipe)
    loaded.load(check_contamination=check_contamination)
    return loaded


def load_inputs(recipe: Recipe, *, check_contamination: bool = True) -> Inputs:
    """Load and check what a recipe names; nothing is started. Raises UserError with all that is wrong."""
    loaded = load_parts(recipe, check_contamination=check_contamination)
    raise_all(loaded.problems)
    inputs = loaded.inputs()
    assert inputs is not None
    return inputs
