"""Patches for SWE tasks and their verdicts."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from environments.failures import EnvironmentFailure
from environments.swe.grading import Verdict
from environments.swe.patches import Stripped
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier, unjudged
from harness.config.evaluation import NOOP, PREDICTIONS, EvaluationRecipe
from harness.evaluation.items import Candidate, EvalItem
from harness.evaluation.records import AttemptRecord, Bucket, Key
from harness.evaluation.swe.attempts import Agent, make_agent, sandbox_limits
from trajectories.types import JSON


@dataclass(frozen=True, kw_only=True)
class PatchRecord(AttemptRecord):
    """A line of attempts.jsonl."""

    patch_digest: str | None  # key of the verdict; None: there was no patch


@dataclass(frozen=True, kw_only=True)
class SWEEvaluator:
    """Attempts and verdicts on SWE tasks, each in a fresh container."""

    verifier: ContainerVerifier
    retries: int  # of an attempt or a verdict whose sandbox broke
    agent: Agent | None = None  # None: patches are given
    # Known ones, by instance and patch: the same patch is verified once, whoever it is from.
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)

    def attempt(self, item: EvalItem[SWETask]) -> tuple[Candidate, ...]:
        """Attempt a task, again after a failure of the environment. The last try is the attempt."""
        assert self.agent is not None  # without one the items come with patches
        started = time.monotonic()
        for tried in range(self.retries + 1):
            _wait(tried)
            rollout = self.agent.attempt(item.task, item.sample)
            if rollout.status != "environment_failure":
                break
        seconds = time.monotonic() - started
        return (Candidate(text=rollout.trajectory.patch or "", rollout=rollout, seconds=seconds),)

    def verify(self, item: EvalItem[SWETask], text: str) -> Verdict:
        """Verify a patch, again after a failure of the environment; one that lasts is a verdict without an answer."""
        task, run_empty = item.task, item.source == NOOP
        clean = self.verifier.clean(task, text)
        before = self.verdicts.get((task.instance_id, clean.digest))
        if before is not None and before.resolved is not None and (clean.text or run_empty):
            return before
        for tried in range(self.retries + 1):
            _wait(tried)
            try:
                return self.verifier.verify(task, text, run_empty=run_empty)
            except EnvironmentFailure as error:
                failure = error
        return unjudged(task, clean.digest, failure)

    def record(
        self, item: EvalItem[SWETask], key: Key, candidate: Candidate, verdict: Verdict | None
    ) -> PatchRecord:
        return PatchRecord(
            **key._asdict(),
            bucket=bucket_of_verdict(verdict) if verdict else candidate.failure or "infra_failure",
            detail=verdict.detail if verdict else candidate.error,
            patch_digest=verdict.patch_digest if verdict else None,
        )

    # Threads of RLVR call it at once: at worst a verdict is remembered twice.
    def remember(self, verdict: Verdict) -> bool:
        """Return False if it is known, or if nothing was run for it."""
        key = verdict.instance_id, verdict.patch_digest
        before = self.verdicts.get(key)
        if verdict.reason == "empty_patch":
            return False
        if before is not None and (before.resolved is not None or verdict.resolved is None):
            return False
        self.verdicts[key] = verdict
        return True


def _wait(tried: int) -> None:
    """Give an engine that restarts a moment before it is tried again."""
    if tried:
        time.sleep(min(5.0 * 2 ** (tried - 1), 60.0))


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


def verdict_from(row: Mapping[str, JSON]) -> Verdict:
    """Return the verdict of a line of verdicts.jsonl, which has its fields."""
    return Verdict(**{**row, "stripped": tuple(Stripped(**part) for part in row["stripped"])})
