"""One attempt at one task: a patch from somewhere, and its verdict. The same function for threads and for Ray."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from environments.failures import EnvironmentFailure
from environments.swe.grading import Verdict
from environments.swe.patches import CleanPatch
from environments.swe.tasks import SWETask
from environments.swe.verifier import unjudged
from harness.evaluation.records import GOLD, NOOP, POLICY, Prediction
from srl_agent.policies import PolicyError
from srl_agent.scaffolds import Rollout

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Item:
    """What is to be done: sample ``sample`` of whoever ``source`` is, at a task."""

    task: SWETask
    source: str  # GOLD, NOOP or POLICY
    sample: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        return self.task.instance_id, self.source, self.sample


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A patch, and how it came about."""

    prediction: Prediction
    rollout: Rollout | None = None
    failure: str | None = None  # environment_failure or policy_failure: there is nothing to judge
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Done:
    """An item with its outcome. Without a verdict there was nothing to judge."""

    item: Item
    proposal: Proposal
    verdict: Verdict | None


class Proposer(Protocol):
    """Where the patches of POLICY items come from."""

    def propose(self, task: SWETask, sample: int) -> Rollout | Prediction:
        """Raises EnvironmentFailure and PolicyError."""


class Verifier(Protocol):
    """Who judges."""

    def clean(self, task: SWETask, patch: str) -> CleanPatch: ...

    def verify(self, task: SWETask, patch: str, *, run_empty: bool = False) -> Verdict: ...


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Does items; safe to use from several threads if its parts are."""

    proposer: Proposer
    verifier: Verifier
    model_name: str
    retries: int
    known: Callable[[str, str], Verdict | None] = lambda instance_id, digest: None  # verdicts given before

    def __call__(self, item: Item) -> Done:
        proposal = self._propose(item)
        if proposal.failure is not None:
            return Done(item=item, proposal=proposal, verdict=None)
        return Done(item=item, proposal=proposal, verdict=self._judge(item, proposal.prediction.model_patch))

    def _propose(self, item: Item) -> Proposal:
        started = time.monotonic()
        if item.source != POLICY:
            patch = item.task.patch if item.source == GOLD else ""
            return Proposal(prediction=self._prediction(item, patch))
        failure, error = None, None
        try:
            made = _retried(lambda: self.proposer.propose(item.task, item.sample), self.retries)
        except EnvironmentFailure as problem:
            failure, error = "environment_failure", str(problem)
        except PolicyError as problem:
            failure, error = "policy_failure", str(problem)
        seconds = time.monotonic() - started
        if failure is not None:
            blank = self._prediction(item, "")
            return Proposal(prediction=blank, failure=failure, error=error, seconds=seconds)
        if isinstance(made, Prediction):
            return Proposal(prediction=made)
        prediction = self._prediction(item, made.trajectory.patch or "")
        return Proposal(prediction=prediction, rollout=made, error=made.error, seconds=seconds)

    def _prediction(self, item: Item, patch: str) -> Prediction:
        name = self.model_name if item.source == POLICY else item.source
        return Prediction(
            instance_id=item.task.instance_id, model_name_or_path=name, model_patch=patch, sample=item.sample
        )

    def _judge(self, item: Item, patch: str) -> Verdict:
        task, run_empty = item.task, item.source == NOOP
        clean = self.verifier.clean(task, patch)
        if clean.text or run_empty:
            before = self.known(task.instance_id, clean.digest)
            if before is not None and before.resolved is not None:
                return before
        try:
            return _retried(lambda: self.verifier.verify(task, patch, run_empty=run_empty), self.retries)
        except EnvironmentFailure as error:
            return unjudged(task, clean.digest, error)


def _retried(work: Callable[[], T], retries: int) -> T:
    """``work()``, again in a fresh box if the box broke. Raises EnvironmentFailure after the last try."""
    for left in range(retries, -1, -1):
        try:
            return work()
        except EnvironmentFailure:
            if not left:
                raise
            time.sleep(min(2.0 ** (retries - left), 10.0))  # an engine that restarts needs a moment
    raise AssertionError("unreachable")


def rollout_row(done: Done) -> dict[str, Any]:
    """A line of rollouts.jsonl."""
    from trajectories.store import to_json

    proposal, rollout = done.proposal, done.proposal.rollout
    return {
        "instance_id": done.item.task.instance_id,
        "sample": done.item.sample,
        "status": proposal.failure or (rollout.status if rollout else "submitted"),
        "error": proposal.error,
        "seconds": round(proposal.seconds, 3),
        "prompt_tokens": sum(c.prompt_tokens for c in rollout.completions) if rollout else 0,
        "completion_tokens": sum(c.completion_tokens for c in rollout.completions) if rollout else 0,
        "completions": [c.text for c in rollout.completions] if rollout else [],
        "trajectory": to_json(rollout.trajectory) if rollout else None,
    }
