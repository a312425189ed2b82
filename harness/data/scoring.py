"""Score completions of expert steps with a recipe's rewards."""

from collections.abc import Sequence

from harness.cli import UsageError
from harness.config.load import nearest
from harness.config.tables import Recipe, RewardTable
from srl_agent.formats import ActionFormat, FormatError
from srl_agent.plugins import PluginError, load_part
from srl_agent.rewards import REWARDS, Score, WeightedRewards, actions_to_json
from srl_agent.rewards.functions import Reward
from srl_agent.steps import StepExample
from trajectories.types import JSON


def make_rewards(recipe: Recipe, action_format: ActionFormat) -> WeightedRewards:
    """Return the recipe's weighted rewards. Raises UserError."""
    functions: dict[str, Reward] = {}
    for table in recipe.rewards:
        if table.name in functions:
            raise UsageError(f"rewards: duplicate reward {table.name}")
        functions[table.name] = _make_reward(table, action_format)
    weights = {table.name: table.weight for table in recipe.rewards}
    return WeightedRewards(functions=functions, weights=weights)


def _make_reward(table: RewardTable, action_format: ActionFormat) -> Reward:
    """Make a built-in reward with its settings, or import a plug-in, which takes none."""
    try:
        if factory := REWARDS.get(table.name):
            return factory(action_format=action_format, **table.settings)
        reward: Reward = load_part(table.name, dict.fromkeys(REWARDS, ""), kind="reward")
    except PluginError as error:
        raise UsageError(f"rewards: {error}{nearest(table.name, REWARDS)}") from error
    except TypeError as error:
        raise UsageError(f"rewards: settings of {table.name}: {error}") from error
    if table.settings:
        raise UsageError(
            f"rewards: settings of {table.name}: a plug-in reward takes none; set them in its module"
        )
    return reward


def reward_columns(example: StepExample) -> dict[str, JSON]:
    """Return the columns of a step that rewards get beside prompt and completion."""
    return {
        "trajectory_id": example.trajectory_id,
        "step_index": example.step_index,
        "kind": example.kind,
        "expert_action": example.expert_action,
        "expert_actions": actions_to_json(example.expert.actions),
    }


def score_examples(
    rewards: WeightedRewards, examples: Sequence[StepExample], completions: Sequence[str]
) -> list[Score]:
    """Score one completion for each example."""
    rows = [reward_columns(example) for example in examples]
    return rewards.score(completions, {key: [row[key] for row in rows] for key in rows[0]})


def format_error(action_format: ActionFormat, text: str) -> str | None:
    """Return the format error of a completion, None if it is well-formed."""
    try:
        action_format.parse(text)
    except FormatError as error:
        return str(error)
    return None
