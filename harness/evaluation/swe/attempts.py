"""One patch for one task, and its verdict."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from environments.failures import EnvironmentFailure
from environments.swe.grading import Verdict
from environments.swe.patches import Stripped
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier, unjudged
from harness.evaluation.swe.predictions import GOLD, NOOP, PREDICTIONS, Prediction
from srl_agent.policies import PolicyError
from srl_agent.scaffolds import Rollout
from trajectories.store import to_json

T = TypeVar("T")

Attempt = Callable[[SWETask, int], Rollout]  # of a sample; raises EnvironmentFailure and PolicyError
Bucket = Literal["resolved", "unresolved", "empty_patch", "error", "infra_failure", "policy_failure"]


@dataclass(frozen=True, kw_only=True)
class Item:
    """A task, and whose patch of it is judged."""

    task: SWETask
    source: str  # gold, noop or predictions
    sample: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        return self.task.instance_id, self.source, self.sample


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A patch, and how it came about."""

    patch: str
    rollout: Rollout | None = None  # of an attempt by a policy
    failure: Literal["infra_failure", "policy_failure"] | None = None  # there is no patch to judge
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Done:
    """An item with its outcome."""

    item: Item
    proposal: Proposal
    verdict: Verdict | None  # None: there was no patch to judge

    @property
    def bucket(self) -> Bucket:
        """The one bucket that an item ends in."""
        verdict = self.verdict
        if verdict is None:
            assert self.proposal.failure is not None
            return self.proposal.failure
        if verdict.resolved is None:
            return "infra_failure"
        if verdict.resolved:
            return "resolved"
        if verdict.reason == "empty_patch":
            return "empty_patch"
        return "error" if verdict.reason in ("patch_does_not_apply", "tests_timed_out") else "unresolved"

    @property
    def detail(self) -> str:
        return self.verdict.detail if self.verdict else self.proposal.error


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Does items; safe to use from several threads."""

    verifier: ContainerVerifier
    retries: int  # of an attempt or a verdict whose box broke
    predictions: Mapping[str, Prediction] = field(
        default_factory=dict
    )  # a task without one has the empty patch
    attempt: Attempt | None = None  # makes predictions in place of the given ones
    known: Callable[[str, str], Verdict | None] = lambda instance_id, digest: None  # verdicts given before

    def __call__(self, item: Item) -> Done:
        proposal = self._propose(item)
        verdict = None if proposal.failure else self._judge(item, proposal.patch)
        return Done(item=item, proposal=proposal, verdict=verdict)

    def _propose(self, item: Item) -> Proposal:
        if item.source == GOLD:
            return Proposal(patch=item.task.patch)
        if item.source == NOOP:
            return Proposal(patch="")
        if self.attempt is None:
            given = self.predictions.get(item.task.instance_id)
            return Proposal(patch=given.model_patch if given else "")
        started, attempt = time.monotonic(), self.attempt
        try:
            rollout = _retried(lambda: attempt(item.task, item.sample), self.retries)
        except EnvironmentFailure as error:
            return Proposal(
                patch="", failure="infra_failure", error=str(error), seconds=time.monotonic() - started
            )
        except PolicyError as error:
            return Proposal(
                patch="", failure="policy_failure", error=str(error), seconds=time.monotonic() - started
            )
        return Proposal(
            patch=rollout.trajectory.patch or "",
            rollout=rollout,
            error=rollout.error or "",
            seconds=time.monotonic() - started,
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
    for tried in range(retries):
        try:
            return work()
        except EnvironmentFailure:
            time.sleep(min(5.0 * 2**tried, 60.0))  # an engine that restarts needs a moment
    return work()


def prediction_of(done: Done, model_name: str) -> Prediction:
    """What a policy's attempt predicts, with SWE-bench's keys."""
    assert done.item.source == PREDICTIONS
    return Prediction(
        instance_id=done.item.task.instance_id,
        model_name_or_path=model_name,
        model_patch=done.proposal.patch,
        sample=done.item.sample,
    )


def rollout_row(done: Done) -> dict[str, Any]:
    """A line of rollouts.jsonl."""
    proposal, rollout = done.proposal, done.proposal.rollout
    completions = rollout.completions if rollout else ()
    failures = {"infra_failure": "environment_failure", "policy_failure": "policy_failure"}
    return {
        "instance_id": done.item.task.instance_id,
        "sample": done.item.sample,
        "status": rollout.status if rollout else failures[proposal.failure or "infra_failure"],
        "error": proposal.error,
        "seconds": round(proposal.seconds, 3),
        "prompt_tokens": sum(completion.prompt_tokens for completion in completions),
        "completion_tokens": sum(completion.completion_tokens for completion in completions),
        "completions": [completion.text for completion in completions],
        "trajectory": to_json(rollout.trajectory) if rollout else None,
    }


def verdict_row(verdict: Verdict) -> dict[str, Any]:
    return asdict(verdict)


def verdict_from(row: Mapping[str, Any]) -> Verdict:
    """Inverse of :func:`verdict_row`."""
    return Verdict(**{**row, "stripped": tuple(Stripped(**part) for part in row["stripped"])})
