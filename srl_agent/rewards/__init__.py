"""Rewards: the similarity of an action to the expert's."""

from srl_agent.rewards.baselines import (
    BASELINES,
    BEST_CONSTANT,
    EXPERT,
    READS_EXPERT,
    as_step,
    baseline_step,
    constant_candidates,
)
from srl_agent.rewards.calls import LogMetric, Reward, RewardBatch, RewardError
from srl_agent.rewards.functions import (
    FORMAT_PENALTY,
    REWARDS,
    SimilarityReward,
    StructuredReward,
    actions_from_json,
    actions_to_json,
    completion_text,
)
from srl_agent.rewards.load import load_reward
from srl_agent.rewards.similarity import reference_similarity, similarities, similarity
from srl_agent.rewards.structured import structured_similarity
from srl_agent.rewards.weighted import Score, WeightedRewards

__all__ = [
    "BASELINES", "BEST_CONSTANT", "EXPERT", "FORMAT_PENALTY", "READS_EXPERT", "REWARDS", "LogMetric",
    "Reward", "RewardBatch", "RewardError", "Score", "SimilarityReward", "StructuredReward", "WeightedRewards",
    "actions_from_json", "actions_to_json", "as_step", "baseline_step", "completion_text", "constant_candidates",
    "load_reward", "reference_similarity", "similarities", "similarity", "structured_similarity",
]  # fmt: skip
