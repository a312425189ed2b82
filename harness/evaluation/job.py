"""One run loop for all domains: attempt, store, verify, store; a rerun resumes where the last one stopped."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from harness.cli import UserError
from harness.config.evaluation import PREDICTIONS, EvaluationRecipe
from harness.console import Console
from harness.evaluation.executors import MakeEvaluator, make_execute
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.items import AttemptResult, Candidate, EvalItem, Evaluator, TaskT, VerdictT
from harness.evaluation.records import FAILURES, AttemptRecord, Prediction, RolloutRecord, read_records
from harness.jsonl import drop_torn_line
from trajectories import Trajectory
from trajectories.types import JSON

_BROKEN = frozenset(FAILURES.values())  # buckets that say nothing of an answer


class Job(Protocol[TaskT, VerdictT]):
    """A recipe of one domain, with all that its names refer to."""

    @property
    def recipe(self) -> EvaluationRecipe: ...

    @property
    def contamination(self) -> Mapping[str, JSON] | None:
        """Tasks that were trained on, by cause; None if no training data is named."""

    @property
    def model_name(self) -> str | None:
        """Whose answers are verified; None if only the sanity check is run."""

    @property
    def evaluator(self) -> Evaluator[TaskT, VerdictT]: ...

    @property
    def make_evaluator(self) -> MakeEvaluator[TaskT, VerdictT]:
        """A module's function, which another process can call."""

    def describe(self) -> str:
        """Say how much of what is evaluated."""

    def items(self) -> Sequence[EvalItem[TaskT]]:
        """Return all that a run does, in order; what needs no policy has its candidates."""

    def ready(self, folder: EvaluationFolder, console: Console) -> AbstractContextManager[object]:
        """Hold what the verifier needs. Raises UserError."""

    def text_of(self, trajectory: Trajectory) -> str:
        """Return the text of a stored attempt that is verified."""

    def save_verdicts(self, result: AttemptResult[TaskT, VerdictT], folder: EvaluationFolder) -> None:
        """Write what the lines of attempts.jsonl do not say of the verdicts."""

    def report(self, folder: EvaluationFolder) -> dict[str, JSON]:
        """Return the figures of all tasks asked for, whether they were done or not."""


def run_job(job: Job[TaskT, VerdictT], folder: EvaluationFolder, console: Console) -> None:
    """Attempt and verify what is left. Every outcome is on its way to the disk before the next is waited for.

    Raises UserError, also when the policy fails many attempts in a row.
    """
    for path in (folder.predictions, folder.rollouts, folder.verdicts, folder.attempts):
        drop_torn_line(path)
    execute = make_execute(job.recipe, job.evaluator, job.make_evaluator)
    with job.ready(folder, console):
        queue = deque(unfinished(job, folder))
        left, total = (sum(item.samples for item in items) for items in (queue, job.items()))
        console.info(f"{job.describe()}; {left} of {total} verdicts to go, {job.recipe.workers} workers")
        tell, stop = Progress(left, console.info), PolicyOutage(job.recipe.max_policy_failures)
        for done in execute(queue):
            if isinstance(done, EvalItem):
                save_attempt(done, job.model_name or "", folder)
                queue.appendleft(done)
            else:
                job.save_verdicts(done, folder)
                folder.append(folder.attempts, [record.as_row() for record in done.records])
                tell(done)
                stop(done.records)


def save_attempt(item: EvalItem[TaskT], model_name: str, folder: EvaluationFolder) -> None:
    """Write what a policy made. Its rollouts are last: an item with all of them is not attempted again."""
    attempts = list(zip(item.keys, item.candidates, strict=True))
    predictions = [
        Prediction(instance_id=name, model_name_or_path=model_name, model_patch=made.text, sample=sample)
        for (name, source, sample), made in attempts
        if source == PREDICTIONS
    ]
    rollouts = [
        RolloutRecord.of(key, made.rollout, model_name=model_name, seconds=made.seconds)
        for key, made in attempts
        if made.rollout is not None
    ]
    folder.append(folder.predictions, map(vars, predictions))
    folder.append(folder.rollouts, [rollout.as_row() for rollout in rollouts])


def unfinished(job: Job[TaskT, VerdictT], folder: EvaluationFolder) -> list[EvalItem[TaskT]]:
    """Return the items without verdicts. Those whose rollouts are on disk have their candidates. Raises UserError."""
    records = read_records(folder.attempts, AttemptRecord)
    finished = {key for key, record in records.items() if record.bucket not in _BROKEN}
    left = [item for item in job.items() if not finished.issuperset(item.keys)]
    rollouts = read_records(folder.rollouts, RolloutRecord) if left else {}

    def resumed(item: EvalItem[TaskT]) -> EvalItem[TaskT]:
        stored = [rollouts[key].finished if key in rollouts else None for key in item.keys]
        candidates = tuple(Candidate(text=job.text_of(made)) for made in stored if made is not None)
        return replace(item, candidates=candidates) if len(candidates) == item.samples else item

    return [resumed(item) for item in left]


class PolicyOutage:
    """Stops a run whose policy fails one attempt after the other, which would fail all that are left as well."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._failed = 0

    def __call__(self, records: Sequence[AttemptRecord]) -> None:
        """Count an attempt. Raises UserError."""
        failed = [record for record in records if record.bucket == "policy_failure"]
        self._failed = self._failed + 1 if len(failed) == len(records) else 0
        if self._failed == self._most:
            raise UserError(
                f"the policy failed {self._failed} attempts in a row (max_policy_failures); the last: "
                f"{failed[-1].detail}"
            )


class Progress:
    """A line for a person: the last item, how many are resolved, not resolved and broken, and an estimate."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._say = say
        self._started = time.monotonic()
        self._buckets: Counter[str] = Counter()

    def __call__(self, done: AttemptResult[TaskT, VerdictT]) -> None:
        buckets = [record.bucket for record in done.records]
        self._buckets.update(buckets)
        count = self._buckets.total()
        left = (time.monotonic() - self._started) / count * (self._total - count)
        resolved, broken = self._buckets["resolved"], sum(self._buckets[bucket] for bucket in _BROKEN)
        one = len(buckets) == 1
        outcome = (
            buckets[0].replace("_", " ") if one else f"{buckets.count('resolved')} of {len(buckets)} resolved"
        )
        details = [record.detail for record in done.records if record.bucket in {"error", *_BROKEN}]
        self._say(
            f"{count}/{self._total}  {done.item.task.instance_id} ({done.item.source}) {outcome}"
            f"{f': {details[0]}' if details else ''}  | resolved {resolved}, not {count - resolved - broken}, "
            f"broken {broken}, about {max(left, 0) / 60:.1f} min left"
        )
