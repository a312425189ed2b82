"""An evaluation, item by item: what is asked, what was attempted, and what the verifier said."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from harness.evaluation.records import FAILURES, AttemptRecord, Failure, Key
from srl_agent.scaffolds import Rollout


class Task(Protocol):
    @property
    def instance_id(self) -> str: ...


TaskT = TypeVar("TaskT", bound=Task)
VerdictT = TypeVar("VerdictT")


@dataclass(frozen=True, kw_only=True)
class EvalItem(Generic[TaskT]):
    """A task, and whose answers to it are verified."""

    task: TaskT
    source: str  # gold, noop, predictions; math: greedy, sampled
    sample: int = 0  # number of the first
    samples: int = 1  # asked for at once

    @property
    def keys(self) -> tuple[Key, ...]:
        """One for each sample."""
        samples = range(self.sample, self.sample + self.samples)
        return tuple((self.task.instance_id, self.source, sample) for sample in samples)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A patch, or the text of a solution, and how it was made."""

    text: str
    rollout: Rollout | None = None  # None: it was given, or an earlier run has stored it
    seconds: float = 0.0

    @property
    def failure(self) -> Failure | None:
        """Why there is nothing to verify, if there is nothing."""
        return FAILURES.get(self.rollout.status) if self.rollout else None

    @property
    def error(self) -> str:
        return (self.rollout.error if self.rollout else None) or ""


@dataclass(frozen=True, kw_only=True)
class Attempted(Generic[TaskT]):
    """An item with one candidate for each of its samples, not yet verified."""

    item: EvalItem[TaskT]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, kw_only=True)
class AttemptResult(Generic[TaskT, VerdictT]):
    """An item with its outcomes, one for each sample."""

    item: EvalItem[TaskT]
    records: tuple[AttemptRecord, ...]
    verdicts: tuple[VerdictT | None, ...]  # None: there was nothing to verify


class Evaluator(Protocol[TaskT, VerdictT]):
    """A domain's attempts and verdicts. Safe to use from several threads; failures are values."""

    def attempt(self, item: EvalItem[TaskT]) -> Attempted[TaskT]:
        """Let the policy attempt a task."""

    def verify(self, attempted: Attempted[TaskT]) -> AttemptResult[TaskT, VerdictT]:
        """Verify what an attempt made."""


def advance(
    evaluator: Evaluator[TaskT, VerdictT], work: EvalItem[TaskT] | Attempted[TaskT]
) -> Attempted[TaskT] | AttemptResult[TaskT, VerdictT]:
    """Take an item one step further: attempt it, or verify what its attempt made."""
    return evaluator.verify(work) if isinstance(work, Attempted) else evaluator.attempt(work)
