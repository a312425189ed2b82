"""One run loop for all domains: attempt, store, verify, store; a rerun resumes where the last one stopped."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from harness.config.evaluation import EvaluationRecipe
from harness.console import Teller
from harness.evaluation.executors import MakeEvaluator, Work, make_execute
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.items import (
    Attempted,
    AttemptResult,
    Candidate,
    EvalItem,
    Evaluator,
    TaskT,
    VerdictT,
)
from harness.evaluation.records import FAILURES, AttemptRecord, Bucket, RolloutRecord, read_records
from harness.jsonl import mend_last_line
from trajectories import Trajectory
from trajectories.types import JSON

_BROKEN = frozenset(FAILURES.values())  # buckets that say nothing of an answer


class Job(Protocol[TaskT, VerdictT]):
    """A recipe of one domain, with all that its names refer to."""

    @property
    def recipe(self) -> EvaluationRecipe: ...

    @property
    def contamination(self) -> Mapping[str, JSON] | None:
        """What of the tasks was trained on; None if that was not asked."""

    @property
    def model_name(self) -> str | None:
        """Whose answers are verified; None if only the sanity check is run."""

    @property
    def evaluator(self) -> Evaluator[TaskT, VerdictT]: ...

    @property
    def again(self) -> frozenset[Bucket]:
        """Buckets of samples that a resumed run does again."""

    @property
    def make_evaluator(self) -> MakeEvaluator[TaskT, VerdictT]:
        """A module's function, which another process can call."""

    def describe(self) -> str:
        """Say how much of what is evaluated."""

    def work(self) -> Sequence[Work[TaskT]]:
        """All of it in order; what needs no policy comes with its candidates."""

    def ready(self, folder: EvaluationFolder, teller: Teller) -> AbstractContextManager[object]:
        """Hold what the verifier needs. Raises UserError."""

    def text_of(self, trajectory: Trajectory) -> str:
        """Return the text of a stored attempt that is verified."""

    def save_predictions(self, attempted: Attempted[TaskT], folder: EvaluationFolder) -> None:
        """Write what others read of an attempt, before it is verified."""

    def save_verdicts(self, result: AttemptResult[TaskT, VerdictT], folder: EvaluationFolder) -> None:
        """Write the verdicts beyond the lines of attempts.jsonl."""

    def report(self, folder: EvaluationFolder) -> dict[str, JSON]:
        """Return the figures of all tasks asked for, whether they were done or not."""


def run_job(job: Job[TaskT, VerdictT], folder: EvaluationFolder, teller: Teller) -> None:
    """Attempt and verify what is left. Every outcome is on its way to the disk before the next is waited for."""
    for path in (folder.predictions, folder.rollouts, folder.verdicts, folder.attempts):
        mend_last_line(path)
    execute = make_execute(job.recipe, job.evaluator, job.make_evaluator)
    with job.ready(folder, teller):
        everything = job.work()
        queue = deque(unfinished(job, everything, folder))
        left, total = (sum(_item(work).samples for work in some) for some in (queue, everything))
        teller.say(f"{job.describe()}; {left} of {total} verdicts to go, {job.recipe.workers} workers")
        tell = Progress(left, teller.say)
        for done in execute(queue):
            if isinstance(done, Attempted):
                _save_attempt(job, done, folder)
                queue.appendleft(done)
            else:
                job.save_verdicts(done, folder)
                folder.append(folder.attempts, [record.as_row() for record in done.records])
                tell(done)


def _save_attempt(job: Job[TaskT, VerdictT], attempted: Attempted[TaskT], folder: EvaluationFolder) -> None:
    """Write predictions first: an attempt with its rollouts on disk is not made again."""
    job.save_predictions(attempted, folder)
    rollouts = [
        RolloutRecord.of(key, made.rollout, model_name=job.model_name or "", seconds=made.seconds).as_row()
        for key, made in zip(attempted.item.keys, attempted.candidates, strict=True)
        if made.rollout is not None
    ]
    folder.append(folder.rollouts, rollouts)


def unfinished(
    job: Job[TaskT, VerdictT], everything: Sequence[Work[TaskT]], folder: EvaluationFolder
) -> list[Work[TaskT]]:
    """Return the work that is left; an attempt whose rollouts are on disk is only verified. Raises UserError."""
    records = read_records(folder.attempts, AttemptRecord)
    finished = {key for key, record in records.items() if record.bucket not in job.again}
    left = [work for work in everything if not finished.issuperset(_item(work).keys)]
    rollouts = read_records(folder.rollouts, RolloutRecord) if left else {}

    def resumed(work: Work[TaskT]) -> Work[TaskT]:
        if isinstance(work, Attempted):
            return work
        stored = [rollouts[key].finished if key in rollouts else None for key in work.keys]
        candidates = tuple(Candidate(text=job.text_of(made)) for made in stored if made is not None)
        return Attempted(item=work, candidates=candidates) if len(candidates) == work.samples else work

    return [resumed(work) for work in left]


def _item(work: Work[TaskT]) -> EvalItem[TaskT]:
    return work.item if isinstance(work, Attempted) else work


class Progress:
    """A line for a person: the last item, how many are resolved, not resolved and broken, and an estimate."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._say = say
        self._started = time.monotonic()
        self._buckets: Counter[Bucket] = Counter()

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
