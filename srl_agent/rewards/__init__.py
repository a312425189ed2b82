"""Rewards: the similarity of an action to the expert's."""

from srl_agent.rewards.baselines import (
    BASELINES,
    BEST_CONSTANT,
    READS_EXPERT,
    as_step,
    baseline_step,
    constant_candidates,
)
from srl_agent.rewards.functions import (
    FORMAT_PENALTY,
    REWARDS,
    Reward,
    Score,
    SimilarityReward,
    StructuredReward,
    WeightedRewards,
    actions_from_json,
    actions_to_json,
    completion_text,
)
from srl_agent.rewards.similarity import reference_similarity, similarities, similarity
from srl_agent.rewards.structured import structured_similarity

__all__ = [
    "BASELINES", "BEST_CONSTANT", "FORMAT_PENALTY", "READS_EXPERT", "REWARDS", "Reward", "Score",
    "SimilarityReward", "StructuredReward", "WeightedRewards", "actions_from_json", "actions_to_json",
    "as_step", "baseline_step", "completion_text", "constant_candidates", "reference_similarity",
    "similarities", "similarity", "structured_similarity",
]  # fmt: skip
