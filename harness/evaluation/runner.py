"""Items to workers, outcomes to files as they come; a rerun goes on where the last one stopped."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict

from environments.swe.grading import Verdict
from environments.swe.tasks import SWETask
from harness.evaluation.records import (
    GOLD,
    NOOP,
    POLICY,
    EvaluationFolder,
    mend_last_line,
    read_rows,
    verdict_from,
    verdict_row,
)
from harness.evaluation.work import Done, Item, rollout_row

Execute = Callable[[Iterable[Item]], Iterator[Done]]  # outcomes in the order in which they come


class Verdicts:
    """Verdicts by instance and patch: the same patch is judged once, whoever it is from."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Verdict] = {}
        self._lock = threading.Lock()

    def get(self, instance_id: str, digest: str) -> Verdict | None:
        with self._lock:
            return self._known.get((instance_id, digest))

    def add(self, verdict: Verdict) -> bool:
        """False if it was there, or if nothing was run for it."""
        if verdict.reason == "empty_patch":
            return False
        key = verdict.instance_id, verdict.patch_digest
        with self._lock:
            before = self._known.get(key)
            if before is not None and (before.resolved is not None or verdict.resolved is None):
                return False
            self._known[key] = verdict
            return True


def items_of(tasks: Sequence[SWETask], sources: Sequence[str], samples: int) -> list[Item]:
    """All that a run does: the certificate's items first, so that a broken image shows early."""
    return [
        Item(task=task, source=source, sample=sample)
        for source in (GOLD, NOOP, POLICY)
        if source in sources
        for task in tasks
        for sample in range(samples if source == POLICY else 1)
    ]


def run_items(
    items: Sequence[Item],
    execute: Execute,
    folder: EvaluationFolder,
    verdicts: Verdicts,
    on_done: Callable[[Done], None],
) -> None:
    """Do what is left of ``items``; every outcome is on its way to the disk before the next is waited for."""
    for path in (folder.rollouts, folder.predictions, folder.verdicts, folder.attempts):
        mend_last_line(path)
    for row in read_rows(folder.verdicts):
        verdicts.add(verdict_from(row))
    finished = finished_items(folder)
    for done in execute(item for item in items if item.key not in finished):
        _write(done, folder, verdicts)
        on_done(done)


def finished_items(folder: EvaluationFolder) -> set[tuple[str, str, int]]:
    """Items that need not be done again: all that were done but for those whose infrastructure failed."""
    last = {(row["instance_id"], row["source"], row["sample"]): row for row in read_rows(folder.attempts)}
    return {key for key, row in last.items() if row["bucket"] not in ("infra_failure", "policy_failure")}


def _write(done: Done, folder: EvaluationFolder, verdicts: Verdicts) -> None:
    item, proposal = done.item, done.proposal
    if item.source == POLICY:
        folder.append(folder.rollouts, [rollout_row(done)])
        folder.append(folder.predictions, [asdict(proposal.prediction)])
    if done.verdict is not None and verdicts.add(done.verdict):
        folder.append(folder.verdicts, [verdict_row(done.verdict)])
    row = {
        "instance_id": item.task.instance_id,
        "source": item.source,
        "sample": item.sample,
        "bucket": bucket_of(done),
        "patch_digest": done.verdict.patch_digest if done.verdict else None,
        "detail": proposal.error or (done.verdict.detail if done.verdict else ""),
    }
    folder.append(folder.attempts, [row])  # last: an item without it is done again


def bucket_of(done: Done) -> str:
    """The one bucket that an item ends in."""
    if done.proposal.failure is not None:
        return "infra_failure" if done.proposal.failure == "environment_failure" else "policy_failure"
    verdict = done.verdict
    assert verdict is not None
    if verdict.resolved is None:
        return "infra_failure"
    if verdict.resolved:
        return "resolved"
    if verdict.reason == "empty_patch":
        return "empty_patch"
    return "error" if verdict.reason in ("patch_does_not_apply", "tests_timed_out") else "unresolved"


def in_threads(work: Callable[[Item], Done], workers: int) -> Execute:
    """Do items in threads of this process. At an interrupt nothing new is started."""

    def execute(items: Iterable[Item]) -> Iterator[Done]:
        waiting: set[Future[Done]] = set()
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="evaluation")
        try:
            for item in items:
                waiting.add(pool.submit(work, item))
                if len(waiting) >= workers:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in finished)
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()

    return execute


class Progress:
    """A line for a person: done, resolved, failed, broken, and an estimate."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._say = say
        self._started = time.monotonic()
        self._buckets: Counter[str] = Counter()

    def __call__(self, done: Done) -> None:
        bucket = bucket_of(done)
        self._buckets[bucket] += 1
        count = self._buckets.total()
        left = (time.monotonic() - self._started) / count * (self._total - count)
        broken = self._buckets["infra_failure"] + self._buckets["policy_failure"]
        failed = count - self._buckets["resolved"] - broken
        item = done.item
        detail = done.verdict.detail if done.verdict and bucket == "error" else done.proposal.error
        self._say(
            f"{count}/{self._total}  {item.task.instance_id} ({item.source}) {bucket.replace('_', ' ')}"
            f"{f': {detail}' if detail else ''}  | resolved {self._buckets['resolved']}, not {failed}, "
            f"broken {broken}, about {max(left, 0) / 60:.1f} min left"
        )
