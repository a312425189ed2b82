"""The parts that the domains share: grades of answers, splits of tasks, the reward of RLVR."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from environments.math.tasks import MathTask
from environments.swe.tasks import SWETask
from harness.config.tables import OutcomesTable
from harness.console import Console
from harness.data.selection import SelectionRow, select_by_profile
from harness.data.split import evenly
from srl_agent.formats import Message
from srl_agent.rewards import WeightedRewards, completion_text
from srl_agent.rewards.functions import CompletionLike

VERIFIED = "verified"  # name of the one reward of rlvr

T = TypeVar("T", SWETask, MathTask)


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The verdict on one answer. ``solved`` is None if the answer could not be verified."""

    solved: bool | None
    reason: str  # one word, to be counted
    answer: str = ""  # the part of the completion that was verified
    detail: str = ""  # for a person

    @property
    def reward(self) -> float | None:
        """1 for a right answer, 0 for a wrong one, None for an unverified one."""
        return None if self.solved is None else float(self.solved)


@dataclass(frozen=True, kw_only=True)
class TaskSplit(Generic[T]):
    """Tasks of the recipe's table ``outcomes``, split."""

    train: Sequence[T]
    validation: Sequence[T]
    selection: tuple[SelectionRow, ...]  # outcomes.select: which training tasks were kept, and why
    of_data: bool = False  # they are the problems of the trajectories, split with them


class VerifiedTasks(Protocol):
    """Tasks by id, split, with prompts and grades. Loading starts nothing: ``start`` does.

    ``grade`` is called from one thread at a time.
    """

    @property
    def split(self) -> TaskSplit[MathTask] | TaskSplit[SWETask]: ...

    def start(self, console: Console) -> None:
        """Provide what grading needs, such as images. Raises UserError."""

    def prompt(self, task_id: str) -> list[Message]:
        """Return chat messages that end where the answer begins. Raises UserError."""

    def reference(self, task_id: str) -> str:
        """Return the right answer, for a person who reads the samples."""

    def grade(self, task_ids: Sequence[str], completions: Sequence[str]) -> list[Grade]:
        """Grade one completion per id; an infrastructure failure is a grade without a verdict."""

    def format_error(self, completion: str) -> str | None:
        """Return why a completion holds no answer, None if it holds one."""

    def close(self) -> None:
        """Stop what grading started."""


def ids(tasks: Sequence[MathTask] | Sequence[SWETask]) -> list[str]:
    """Return the tasks' ids."""
    return [task.instance_id for task in tasks]


def thin(
    train: Sequence[T], validation: Sequence[T], table: OutcomesTable, *, of_data: bool = False
) -> TaskSplit[T]:
    """Apply outcomes.select, train_tasks and validation_tasks to the two sides. Raises UserError."""
    choices: Sequence[SelectionRow] = ()
    if table.select is not None:
        keys = [(task.instance_id, 0) for task in train]
        train, _, choices = select_by_profile(train, keys, table.select, what="training tasks")
    return TaskSplit(
        train=evenly(train, table.train_tasks),
        validation=evenly(validation, table.validation_tasks),
        selection=tuple(choices),
        of_data=of_data,
    )


@dataclass(frozen=True, kw_only=True)
class VerifiedReward:
    """The reward of RLVR, with TRL's signature."""

    tasks: VerifiedTasks

    def __call__(
        self,
        prompts: object,
        completions: Sequence[CompletionLike],
        *,
        task_id: Sequence[str],
        **columns: object,
    ) -> list[float | None]:
        texts = [completion_text(completion) for completion in completions]
        return [grade.reward for grade in self.tasks.grade(task_id, texts)]


def verified_rewards(tasks: VerifiedTasks) -> WeightedRewards:
    """Return the rewards of rlvr: the grade alone."""
    return WeightedRewards(functions={VERIFIED: VerifiedReward(tasks=tasks)}, weights={VERIFIED: 1.0})
