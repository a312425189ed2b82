"""What rlvr needs of a domain: prompts, and verdicts on the answers to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from harness.config.tables import OutcomesTable
from harness.data.selection import SelectionRow, select_by_profile
from srl_agent.formats import Message
from srl_agent.rewards import WeightedRewards, completion_text

VERIFIED = "verified"  # name of the one reward of rlvr


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one answer. ``solved`` is None if that could not be judged."""

    solved: bool | None
    reason: str  # a word, to be counted
    answer: str = ""  # what was judged of the completion
    detail: str = ""  # for a person

    @property
    def reward(self) -> float | None:
        """1 for a right answer, 0 for a wrong one, None where nobody can tell."""
        return None if self.solved is None else float(self.solved)


class Outcomes(Protocol):
    """Tasks by id, on the two sides of a split. ``judge`` may be called from one thread at a time."""

    @property
    def train(self) -> Sequence[str]: ...

    @property
    def validation(self) -> Sequence[str]: ...

    @property
    def selection(self) -> Sequence[SelectionRow]:
        """Of outcomes.select: what became of each training task."""

    def prompt(self, task_id: str) -> list[Message]:
        """Chat messages that end where the answer begins. Raises UserError if there is none to be had."""

    def reference(self, task_id: str) -> str:
        """The right answer, for a person who reads the samples."""

    def judge(self, task_ids: Sequence[str], completions: Sequence[str]) -> list[Outcome]:
        """One outcome for each completion; what breaks on the way is an outcome that is not judged."""

    def malformed(self, completion: str) -> str | None:
        """Why a completion cannot be right whatever it means, None if it can: it holds no answer."""

    def close(self) -> None:
        """End what was started to judge."""


@dataclass(frozen=True, kw_only=True)
class VerifiedReward:
    """TRL's signature over a domain."""

    outcomes: Outcomes

    def __call__(
        self, prompts: Any, completions: Sequence[Any], *, trajectory_id: Sequence[str], **columns: Any
    ) -> list[float | None]:
        texts = [completion_text(completion) for completion in completions]
        return [outcome.reward for outcome in self.outcomes.judge(list(trajectory_id), texts)]


def verified_rewards(outcomes: Outcomes) -> WeightedRewards:
    """The rewards of rlvr."""
    return WeightedRewards(functions={VERIFIED: VerifiedReward(outcomes=outcomes)}, weights={VERIFIED: 1.0})


def outcome_row(outcomes: Outcomes, task_id: str) -> dict[str, Any]:
    """A training row: the columns of a step's row, so that samples of all stages read alike."""
    return {
        "prompt": outcomes.prompt(task_id),
        "trajectory_id": task_id,
        "step_index": 0,
        "kind": "answer",
        "expert_action": outcomes.reference(task_id),
    }


class _Named(Protocol):
    @property
    def instance_id(self) -> str: ...


T = TypeVar("T", bound=_Named)


@dataclass(frozen=True, kw_only=True)
class Sides(Generic[T]):
    """The tasks of the table, split; nothing is started for them."""

    train: Sequence[T]
    validation: Sequence[T]
    selection: tuple[SelectionRow, ...]
    of_data: bool = False  # they are the problems of the trajectories, on the sides that these are on


def select_tasks(tasks: Sequence[T], table: OutcomesTable) -> tuple[Sequence[T], tuple[SelectionRow, ...]]:
    """The training tasks that outcomes.select keeps, and what became of each. Raises UserError."""
    if table.select is None:
        return tasks, ()
    kept, _, choices = select_by_profile(
        tasks, [(t.instance_id, 0) for t in tasks], table.select, what="training tasks"
    )
    return kept, tuple(choices)
