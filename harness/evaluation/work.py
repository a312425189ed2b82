"""One patch for one task, and its verdict."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from environments.failures import EnvironmentFailure
from environments.swe.grading import Verdict
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier
from harness.evaluation.records import GOLD, NOOP, Prediction

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A task, and whose patch of it is judged."""

    task: SWETask
    source: str  # gold, noop or predictions

    @property
    def key(self) -> tuple[str, str]:
        return self.task.instance_id, self.source


@dataclass(frozen=True, kw_only=True)
class Done:
    """An item with its outcome."""

    item: Item
    verdict: Verdict

    @property
    def bucket(self) -> str:
        """The one bucket that an item ends in."""
        verdict = self.verdict
        if verdict.resolved is None:
            return "infra_failure"
        if verdict.resolved:
            return "resolved"
        if verdict.reason == "empty_patch":
            return "empty_patch"
        return "error" if verdict.reason in ("patch_does_not_apply", "tests_timed_out") else "unresolved"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Does items; safe to use from several threads."""

    verifier: ContainerVerifier
    retries: int  # of a verdict whose box broke
    predictions: Mapping[str, Prediction] = field(
        default_factory=dict
    )  # a task without one has the empty patch
    known: Callable[[str, str], Verdict | None] = lambda instance_id, digest: None  # verdicts given before

    def __call__(self, item: Item) -> Done:
        task, run_empty = item.task, item.source == NOOP
        patch = self._patch(item)
        clean = self.verifier.clean(task, patch)
        if clean.text or run_empty:
            before = self.known(task.instance_id, clean.digest)
            if before is not None and before.resolved is not None:
                return Done(item=item, verdict=before)
        try:
            verdict = _retried(lambda: self.verifier.verify(task, patch, run_empty=run_empty), self.retries)
        except EnvironmentFailure as error:
            verdict = Verdict(
                instance_id=task.instance_id,
                resolved=None,
                reason="environment_failure",
                detail=str(error),
                patch_digest=clean.digest,
            )
        return Done(item=item, verdict=verdict)

    def _patch(self, item: Item) -> str:
        if item.source == GOLD:
            return item.task.patch
        prediction = self.predictions.get(item.task.instance_id)
        return prediction.model_patch if prediction and item.source != NOOP else ""


def _retried(work: Callable[[], T], retries: int) -> T:
    """``work()``, again in a fresh box if the box broke. Raises EnvironmentFailure after the last try."""
    for tried in range(retries):
        try:
            return work()
        except EnvironmentFailure:
            time.sleep(min(2.0**tried, 10.0))  # an engine that restarts needs a moment
    return work()
