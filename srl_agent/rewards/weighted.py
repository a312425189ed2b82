"""The weighted sum of several rewards, and what it is where some of them did not judge a completion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from srl_agent.formats import ActionFormat
from srl_agent.rewards.calls import Reward, RewardBatch, call_rewards
from srl_agent.rewards.functions import REWARDS
from trajectories.types import JSON

Missing = Literal["rescale", "mask"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Rewards of one completion: by reward function, and the weighted sum."""

    parts: Mapping[str, float | None]
    total: float | None
    extra: Mapping[str, JSON] = field(default_factory=dict)  # what rewards logged of it by ``log_extra``


@dataclass(frozen=True, kw_only=True)
class WeightedRewards:
    """The rewards of a recipe by name, and their weights; one of weight 0 is measured, but not part of the sum.

    ``missing``: of a completion that some rewards judged and others did not, either the weights of the former are
    scaled to the same total (``rescale``), or it counts as not judged (``mask``). A sum without either, as TRL's, would
    take the missing reward for 0.
    """

    functions: Mapping[str, Reward]
    weights: Mapping[str, float]
    missing: Missing = "rescale"

    @property
    def label(self) -> str:
        """The name of the sum: that of the only reward, or the formula."""
        terms = {name: weight for name, weight in self.weights.items() if weight}
        if list(terms.values()) == [1.0]:
            return next(iter(terms))
        return " + ".join(f"{weight:g} {name}" for name, weight in terms.items())

    def with_measures(self, action_format: ActionFormat) -> "WeightedRewards":
        """Add our other rewards at weight 0: all of them are reported for every model."""
        names = REWARDS.keys() - self.weights.keys()
        more = {name: made(action_format=action_format) for name, made in REWARDS.items() if name in names}
        weights = {**self.weights, **dict.fromkeys(more, 0.0)}
        functions = {**self.functions, **more}
        return WeightedRewards(functions=functions, weights=weights, missing=self.missing)

    def score(self, batch: RewardBatch) -> list[Score]:
        """Score completions. Raises RewardError."""
        returned = call_rewards(self.functions, batch)
        scores = []
        for index in range(len(batch.texts)):
            parts = {name: values[index] for name, values in returned.parts.items()}
            extra = {column: values[index] for column, values in returned.extra.items()}
            scores.append(Score(parts=parts, total=self.total(parts), extra=extra))
        return scores

    def total(self, parts: Mapping[str, float | None]) -> float | None:
        """Return the weighted sum, by ``missing`` if a reward is None; None if all are.

        >>> WeightedRewards(functions={}, weights={"a": 1.0, "b": 0.5}).total({"a": 0.5, "b": None})
        0.75
        """
        weights = {name: weight for name, weight in self.weights.items() if weight}
        values = {name: value for name in weights if (value := parts[name]) is not None}
        if not values or (self.missing == "mask" and len(values) < len(weights)):
            return None
        total = sum(weights[name] * value for name, value in values.items())
        if len(values) == len(weights):
            return total
        # By their size: a penalty has a negative weight and would cancel the others in the sum.
        return total * sum(map(abs, weights.values())) / sum(abs(weights[name]) for name in values)
