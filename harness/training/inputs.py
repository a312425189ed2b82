"""Everything that a run reads before it starts, loaded and checked once."""

from dataclasses import dataclass

from harness.config.tables import Recipe
from harness.data.contamination import Contamination
from harness.data.scoring import make_rewards
from harness.data.step_data import StepData, load_step_data
from harness.training.contamination import check_training
from harness.training.outcomes.base import VerifiedTasks
from harness.training.outcomes.load import load_tasks
from srl_agent.rewards import WeightedRewards


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A recipe with the data, tasks and rewards that it names."""

    recipe: Recipe
    data: StepData
    tasks: VerifiedTasks | None
    rewards: WeightedRewards
    contamination: Contamination | None  # None: not checked, or no evaluation set is named


def load_inputs(recipe: Recipe, *, check_contamination: bool = True) -> Inputs:
    """Load and check what a recipe names; nothing is started. Raises UserError."""
    data = load_step_data(recipe)
    tasks = load_tasks(recipe, data)
    rewards = make_rewards(recipe, data.action_format)
    found = check_training(recipe, data, tasks) if check_contamination else None
    return Inputs(recipe=recipe, data=data, tasks=tasks, rewards=rewards, contamination=found)
