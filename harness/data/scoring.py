"""Score completions of expert steps with a recipe's rewards."""

from collections.abc import Sequence
from typing import Protocol

from harness.cli import UsageError, user_errors
from harness.config.load import nearest
from harness.config.tables import Recipe, RewardTable
from srl_agent.formats import ActionFormat, FormatError
from srl_agent.generation.types import Completion
from srl_agent.plugins import PluginError
from srl_agent.rewards import (
    REWARDS,
    LogMetric,
    Reward,
    RewardBatch,
    RewardError,
    Score,
    WeightedRewards,
    actions_to_json,
    load_reward,
)
from srl_agent.steps import StepExample
from trajectories.types import JSON


class Tokenizer(Protocol):
    """The part of transformers' tokenizers that scoring needs."""

    eos_token_id: int

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


def make_rewards(recipe: Recipe, action_format: ActionFormat) -> WeightedRewards:
    """Return the recipe's weighted rewards. Raises UserError."""
    functions: dict[str, Reward] = {}
    for table in recipe.rewards:
        if table.logged_as in functions:
            raise UsageError(f"rewards: duplicate reward {table.logged_as}: give one of them a `label`")
        functions[table.logged_as] = _make_reward(table, action_format)
    weights = {table.logged_as: table.weight for table in recipe.rewards}
    return WeightedRewards(functions=functions, weights=weights, missing=recipe.rewards_missing)


def _make_reward(table: RewardTable, action_format: ActionFormat) -> Reward:
    try:
        return load_reward(table.name, table.settings, action_format=action_format, columns=COLUMNS)
    except PluginError as error:
        raise UsageError(f"rewards: {error}{nearest(table.name, REWARDS)}") from error


COLUMNS = ("trajectory_id", "step_index", "kind", "expert_action", "expert_actions")  # beside the prompt


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
    rewards: WeightedRewards,
    examples: Sequence[StepExample],
    completions: Sequence[Completion],
    *,
    tokenizer: Tokenizer,
    state: object,
    log_metric: LogMetric = lambda name, value: None,
) -> list[Score]:
    """Score one completion for each example, as in training. Raises UserError.

    ``tokenizer``: for completions without token ids. ``state``: the ``trainer_state`` that rewards get, transformers'
    TrainerState.
    """
    rows = [reward_columns(example) for example in examples]
    batch = RewardBatch(
        prompts=[example.prompt for example in examples],
        texts=[completion.text for completion in completions],
        token_ids=[_token_ids(completion, tokenizer) for completion in completions],
        columns={key: [row[key] for row in rows] for key in COLUMNS},
        trainer_state=state,
        log_metric=log_metric,
    )
    with user_errors(RewardError, about="rewards"):
        return rewards.score(batch)


def written(text: str) -> Completion:
    """Return a text that no model sampled, such as the expert's, as a completion that ended by itself."""
    return Completion(text=text, finish_reason="stop", prompt_tokens=0, completion_tokens=0)


def _token_ids(completion: Completion, tokenizer: Tokenizer) -> Sequence[int]:
    if completion.token_ids is not None:
        return completion.token_ids
    ids = tokenizer.encode(completion.text, add_special_tokens=False)
    return [*ids, tokenizer.eos_token_id] if completion.finish_reason == "stop" else ids


def format_error(action_format: ActionFormat, text: str) -> str | None:
    """Return the format error of a completion, None if it is well-formed."""
    try:
        action_format.parse(text)
    except FormatError as error:
        return str(error)
    return None
