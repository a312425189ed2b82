"""Rewards: how near an action is to the expert's."""

from srl_agent.rewards.floor import FLOOR_POLICIES, floor_step
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
    "FLOOR_POLICIES",
    "FORMAT_PENALTY",
    "REWARDS",
    "Reward",
    "Score",
    "SimilarityReward",
    "StructuredReward",
    "WeightedRewards",
    "actions_from_json",
    "actions_to_json",
    "completion_text",
    "floor_step",
    "reference_similarity",
    "similarities",
    "similarity",
    "structured_similarity",
]
