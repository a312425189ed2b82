"""Rewards in TRL's signature: ``(prompts, completions, **columns) -> list[float | None]``.

Columns of a step row: ``expert_action`` (text) and ``expert_actions`` (JSON list of name and arguments). ``None``
means that a completion could not be judged; it is masked, never 0.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srl_agent.formats import ActionFormat, FormatError
from srl_agent.rewards.similarity import similarities
from srl_agent.rewards.structured import structured_similarity
from trajectories import Action

FORMAT_PENALTY = -1.0  # the paper's reward of a completion without the required format

Reward = Callable[..., list[float | None]]


def completion_text(completion: Any) -> str:
    """Text of a completion as TRL passes it: a string, or a list of one assistant message."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"] or "")


@dataclass(frozen=True, kw_only=True)
class SimilarityReward:
    """The paper's reward: −1 for bad format, else the similarity of the action's text to the expert's."""

    action_format: ActionFormat
    autojunk: bool = False

    def __call__(
        self, prompts: Any, completions: Sequence[Any], *, expert_action: Sequence[str | None], **columns: Any
    ) -> list[float | None]:
        rewards: list[float | None] = [FORMAT_PENALTY] * len(completions)
        judged: dict[int, tuple[str, str]] = {}
        for row, (completion, expert) in enumerate(zip(completions, expert_action, strict=True)):
            if not expert:
                rewards[row] = None
                continue
            try:
                _, action = self.action_format.split(completion_text(completion))
                self.action_format.syntax.parse(action)
            except FormatError:
                continue
            judged[row] = (action, expert)
        scores = similarities(list(judged.values()), autojunk=self.autojunk)
        for row, score in zip(judged, scores, strict=True):
            rewards[row] = score
        return rewards


@dataclass(frozen=True, kw_only=True)
class StructuredReward:
    """−1 for bad format, else :func:`structured_similarity` of the parsed calls."""

    action_format: ActionFormat

    def __call__(
        self,
        prompts: Any,
        completions: Sequence[Any],
        *,
        expert_actions: Sequence[str | None],
        **columns: Any,
    ) -> list[float | None]:
        return [
            self._score(completion_text(completion), expert)
            for completion, expert in zip(completions, expert_actions, strict=True)
        ]

    def _score(self, completion: str, expert: str | None) -> float | None:
        if not expert:
            return None
        try:
            step = self.action_format.parse(completion)
        except FormatError:
            return FORMAT_PENALTY
        return structured_similarity(step.actions, actions_from_json(expert))


def actions_to_json(actions: Sequence[Action]) -> str:
    """A column value: nested tables would gain null keys on their way through Arrow."""
    return json.dumps([{"name": action.name, "arguments": dict(action.arguments)} for action in actions])


def actions_from_json(text: str) -> tuple[Action, ...]:
    """Inverse of :func:`actions_to_json`."""
    return tuple(Action(name=row["name"], arguments=row["arguments"]) for row in json.loads(text))


REWARDS: Mapping[str, Callable[..., Reward]] = {
    "similarity": SimilarityReward,
    "structured": StructuredReward,
}


@dataclass(frozen=True, kw_only=True)
class WeightedRewards:
    """The rewards of a recipe, by name, and their weights: one definition for training, validation and baselines.

    A reward of weight 0 is measured and is no part of the sum.
    """

    functions: Mapping[str, Reward]
    weights: Mapping[str, float]

    @property
    def label(self) -> str:
        """What the sum is called: the name of the only reward, or the sum written out."""
        terms = {name: weight for name, weight in self.weights.items() if weight}
        if list(terms.values()) == [1.0]:
            return next(iter(terms))
        return " + ".join(f"{weight:g} {name}" for name, weight in terms.items())

    def with_measures(self, action_format: ActionFormat) -> "WeightedRewards":
        """These, and at weight 0 the rewards of ours that are not among them: what is reported of every model."""
        more = {
            name: made(action_format=action_format)
            for name, made in REWARDS.items()
            if name not in self.weights
        }
        return WeightedRewards(
            functions={**self.functions, **more}, weights={**self.weights, **dict.fromkeys(more, 0.0)}
        )

    def score(self, completions: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> list["Score"]:
        """Score completions; ``columns`` holds one value per completion."""
        prompts = [None] * len(completions)
        parts = {name: f(prompts, list(completions), **columns) for name, f in self.functions.items()}
        rows = [{name: values[i] for name, values in parts.items()} for i in range(len(completions))]
        return [Score(parts=row, total=self.total(row)) for row in rows]

    def total(self, parts: Mapping[str, float | None]) -> float | None:
        """Weighted sum over the rewards that judged; None if none did."""
        judged = {name: value for name, value in parts.items() if value is not None and self.weights[name]}
        return sum(self.weights[name] * value for name, value in judged.items()) if judged else None


@dataclass(frozen=True, kw_only=True)
class Score:
    """Reward of one completion: by part, and the weighted sum."""

    parts: Mapping[str, float | None]
    total: float | None
