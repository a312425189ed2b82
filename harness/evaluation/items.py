"""An evaluation, item by item: what is asked, what was attempted, and what the verifier said."""

from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from harness.evaluation.records import FAILURES, AttemptRecord, Failure, Key
from srl_agent.scaffolds import Rollout


class Task(Protocol):
    @property
    def instance_id(self) -> str: ...


TaskT = TypeVar("TaskT", bound=Task)
VerdictT = TypeVar("VerdictT")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A patch, or the text of a solution, and how it was made."""

    text: str
    rollout: Rollout | None = None  # None: it was given, or an earlier run has stored it
    seconds: float = 0.0

    @property
    def failure(self) -> Failure | None:
        """Why there is nothing to verify, None if there is something."""
        return FAILURES.get(self.rollout.status) if self.rollout else None

    @property
    def error(self) -> str:
        return (self.rollout.error if self.rollout else None) or ""


@dataclass(frozen=True, kw_only=True)
class EvalItem(Generic[TaskT]):
    """A task, and whose answers to it are verified."""

    task: TaskT
    source: str  # as in Key
    sample: int = 0  # number of the first
    samples: int = 1  # asked for at once
    candidates: tuple[Candidate, ...] = ()  # one for each sample; empty: not yet attempted

    @property
    def keys(self) -> tuple[Key, ...]:
        """One for each sample."""
        samples = range(self.sample, self.sample + self.samples)
        return tuple(Key(self.task.instance_id, self.source, sample) for sample in samples)


@dataclass(frozen=True, kw_only=True)
class AttemptResult(Generic[TaskT, VerdictT]):
    """An item with its outcomes, one for each sample."""

    item: EvalItem[TaskT]
    records: tuple[AttemptRecord, ...]
    verdicts: tuple[VerdictT | None, ...]  # None: there was nothing to verify


class Evaluator(Protocol[TaskT, VerdictT]):
    """A domain's attempts and verdicts. Safe to use from several threads; failures are values."""

    def attempt(self, item: EvalItem[TaskT]) -> tuple[Candidate, ...]:
        """Let the policy attempt a task, once for each sample."""

    def verify(self, item: EvalItem[TaskT], text: str) -> VerdictT:
        """Verify a candidate's text."""

    def record(
        self, item: EvalItem[TaskT], key: Key, candidate: Candidate, verdict: VerdictT | None
    ) -> AttemptRecord:
        """Return the line of a candidate, whose verdict is None if a failure left nothing to verify."""


Advanced = EvalItem[TaskT] | AttemptResult[TaskT, VerdictT]


def advance(evaluator: Evaluator[TaskT, VerdictT], item: EvalItem[TaskT]) -> Advanced[TaskT, VerdictT]:
    """Take an item one step further: attempt it, or verify what its attempt made."""
    if not item.candidates:
        return replace(item, candidates=evaluator.attempt(item))
    verdicts = tuple(None if made.failure else evaluator.verify(item, made.text) for made in item.candidates)
    outcomes = zip(item.keys, item.candidates, verdicts, strict=True)
    records = tuple(evaluator.record(item, key, made, verdict) for key, made, verdict in outcomes)
    return AttemptResult(item=item, records=records, verdicts=verdicts)
