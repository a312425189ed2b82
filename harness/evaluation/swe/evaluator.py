"""Patches for SWE tasks and their verdicts."""

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from environments.failures import EnvironmentFailure
from environments.swe.grading import Verdict
from environments.swe.patches import Stripped
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier, unjudged
from harness.config.evaluation import NOOP, PREDICTIONS, EvaluationRecipe
from harness.evaluation.items import AttemptResult, Candidate, EvalItem
from harness.evaluation.records import AttemptRecord, Bucket
from harness.evaluation.swe.attempts import Agent, make_agent, sandbox_limits
from trajectories.types import JSON


@dataclass(frozen=True, kw_only=True)
class PatchRecord(AttemptRecord):
    """A line of attempts.jsonl."""

    patch_digest: str | None  # key of the verdict; None: there was no patch


class Verdicts:
    """Verdicts by instance and patch: the same patch is verified once, whoever it is from."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Verdict] = {}
        self._lock = threading.Lock()

    def get(self, instance_id: str, digest: str) -> Verdict | None:
        with self._lock:
            return self._known.get((instance_id, digest))

    def add(self, verdict: Verdict) -> bool:
        """Return False if it is known, or if nothing was run for it."""
        if verdict.reason == "empty_patch":
            return False
        key = verdict.instance_id, verdict.patch_digest
        with self._lock:
            before = self._known.get(key)
            if before is not None and (before.resolved is not None or verdict.resolved is None):
                return False
            self._known[key] = verdict
            return True


@dataclass(frozen=True, kw_only=True)
class SWEEvaluator:
    """Attempts and verdicts on SWE tasks, each in a fresh container."""

    verifier: ContainerVerifier
    retries: int  # of an attempt or a verdict whose sandbox broke
    agent: Agent | None = None  # None: patches are given
    verdicts: Verdicts = field(default_factory=Verdicts)  # those known before

    def attempt(self, item: EvalItem[SWETask]) -> tuple[Candidate, ...]:
        """Attempt a task, again after a failure of the environment. The last try is the attempt."""
        assert self.agent is not None  # without one the items come with patches
        started = time.monotonic()
        rollout = self.agent.attempt(item.task, item.sample)
        for tried in range(self.retries):
            if rollout.status != "environment_failure":
                break
            _wait(tried)
            rollout = self.agent.attempt(item.task, item.sample)
        seconds = time.monotonic() - started
        return (Candidate(text=rollout.trajectory.patch or "", rollout=rollout, seconds=seconds),)

    def verify(self, item: EvalItem[SWETask]) -> AttemptResult[SWETask, Verdict]:
        (made,) = item.candidates
        verdict = None if made.failure else self._verdict(item, made.text)
        record = PatchRecord(
            instance_id=item.task.instance_id,
            source=item.source,
            sample=item.sample,
            bucket=bucket_of_verdict(verdict) if verdict else made.failure or "infra_failure",
            detail=verdict.detail if verdict else made.error,
            patch_digest=verdict.patch_digest if verdict else None,
        )
        return AttemptResult(item=item, records=(record,), verdicts=(verdict,))

    def _verdict(self, item: EvalItem[SWETask], patch: str) -> Verdict:
        task, run_empty = item.task, item.source == NOOP
        clean = self.verifier.clean(task, patch)
        if clean.text or run_empty:
            before = self.verdicts.get(task.instance_id, clean.digest)
            if before is not None and before.resolved is not None:
                return before
        for tried in range(self.retries + 1):
            try:
                return self.verifier.verify(task, patch, run_empty=run_empty)
            except EnvironmentFailure as error:
                failure = error
                if tried < self.retries:
                    _wait(tried)
        return unjudged(task, clean.digest, failure)


def _wait(tried: int) -> None:
    """Give an engine that restarts a moment."""
    time.sleep(min(5.0 * 2**tried, 60.0))


def bucket_of_verdict(verdict: Verdict) -> Bucket:
    """Return the one bucket that a verified patch ends in."""
    if verdict.resolved is None:
        return "infra_failure"
    if verdict.resolved:
        return "resolved"
    if verdict.reason == "empty_patch":
        return "empty_patch"
    return "error" if verdict.reason in ("patch_does_not_apply", "tests_timed_out") else "unresolved"


def make_evaluator(recipe: EvaluationRecipe) -> SWEEvaluator:
    """Return the evaluator of a recipe, with its policy if that makes the predictions. Raises UserError."""
    attempts = PREDICTIONS in recipe.judge and recipe.predictions is None
    limits = sandbox_limits(recipe.limits)
    return SWEEvaluator(
        verifier=ContainerVerifier(limits=limits, test_seconds=recipe.limits.test_seconds),
        retries=recipe.retries,
        agent=make_agent(recipe) if attempts else None,
    )


def verdict_row(verdict: Verdict) -> dict[str, JSON]:
    """Return a line of verdicts.jsonl."""
    return asdict(verdict)


def verdict_from(row: Mapping[str, JSON]) -> Verdict:
    """Inverse of :func:`verdict_row`."""
    return Verdict(**{**row, "stripped": tuple(Stripped(**part) for part in row["stripped"])})
