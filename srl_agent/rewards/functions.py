"""Our rewards, in TRL's signature: ``(prompts, completions, **columns) -> list[float | None]``.

Columns of a step row: ``expert_action`` (text) and ``expert_actions`` (JSON list of name and arguments). ``None``
means that a completion could not be scored; it is masked, never 0.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from srl_agent.formats import ActionFormat, FormatError
from srl_agent.rewards.calls import Reward
from srl_agent.rewards.similarity import similarities
from srl_agent.rewards.structured import structured_similarity
from trajectories import Action

FORMAT_PENALTY = -1.0  # the paper's reward for a completion that violates the format

# A completion as TRL passes it: text, or a list of one assistant message.
CompletionLike = str | Sequence[Mapping[str, str]]
Completions = Sequence[CompletionLike]
Column = Sequence[str | None]


def completion_text(completion: CompletionLike) -> str:
    """Return the text of a completion as TRL passes it."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"] or "")


@dataclass(frozen=True, kw_only=True)
class SimilarityReward:
    """The paper's reward: −1 for a violated format, else the similarity of the action's text to the expert's."""

    action_format: ActionFormat
    autojunk: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.autojunk, bool):
            raise ValueError(f"autojunk is true or false, not {self.autojunk!r}")

    def __call__(
        self, prompts: object, completions: Completions, *, expert_action: Column, **columns: object
    ) -> list[float | None]:
        rewards: list[float | None] = [FORMAT_PENALTY] * len(completions)
        pairs: dict[int, tuple[str, str]] = {}
        for row, (completion, expert) in enumerate(zip(completions, expert_action, strict=True)):
            if not expert:
                rewards[row] = None
                continue
            try:
                _, action = self.action_format.split(completion_text(completion))
                self.action_format.parse_actions(action)
            except FormatError:
                continue
            pairs[row] = (action, expert)
        scores = similarities(list(pairs.values()), autojunk=self.autojunk)
        for row, score in zip(pairs, scores, strict=True):
            rewards[row] = score
        return rewards


@dataclass(frozen=True, kw_only=True)
class StructuredReward:
    """−1 for a violated format, else :func:`structured_similarity` of the parsed calls."""

    action_format: ActionFormat

    def __call__(
        self, prompts: object, completions: Completions, *, expert_actions: Column, **columns: object
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
    """Return a column value as text: Arrow would add null keys to nested tables."""
    return json.dumps([{"name": action.name, "arguments": dict(action.arguments)} for action in actions])


def actions_from_json(text: str) -> tuple[Action, ...]:
    """Invert :func:`actions_to_json`."""
    return tuple(Action(name=row["name"], arguments=row["arguments"]) for row in json.loads(text))


_Maker = Callable[..., Reward]
REWARDS: Mapping[str, _Maker] = {"similarity": SimilarityReward, "structured": StructuredReward}
