"""Items to workers, outcomes to files as they come; a rerun goes on where the last one stopped."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from environments.engine import LIVE
from environments.swe.grading import Verdict
from environments.swe.tasks import SWETask
from harness.evaluation.records import (
    GOLD,
    NOOP,
    PREDICTIONS,
    EvaluationFolder,
    mend_last_line,
    read_rows,
    verdict_from,
    verdict_row,
)
from harness.evaluation.work import Done, Item


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


def items_of(tasks: Sequence[SWETask], sources: Sequence[str]) -> list[Item]:
    """All that a run does: the certificate's items first, so that a broken image shows early."""
    return [
        Item(task=task, source=source)
        for source in (GOLD, NOOP, PREDICTIONS)
        if source in sources
        for task in tasks
    ]


def run_items(
    items: Sequence[Item],
    work: Callable[[Item], Done],
    folder: EvaluationFolder,
    verdicts: Verdicts,
    *,
    workers: int,
    on_done: Callable[[Done], None],
) -> None:
    """Do what is left of ``items``; every outcome is on its way to the disk before the next is waited for."""
    for path in (folder.verdicts, folder.attempts):
        mend_last_line(path)
    for row in read_rows(folder.verdicts):
        verdicts.add(verdict_from(row))
    finished = finished_items(folder)
    for done in _in_threads(work, (item for item in items if item.key not in finished), workers):
        if verdicts.add(done.verdict):
            folder.append(folder.verdicts, [verdict_row(done.verdict)])
        row = {
            "instance_id": done.item.task.instance_id,
            "source": done.item.source,
            "bucket": done.bucket,
            "patch_digest": done.verdict.patch_digest,
            "detail": done.verdict.detail,
        }
        folder.append(folder.attempts, [row])  # last: an item without it is done again
        on_done(done)


def finished_items(folder: EvaluationFolder) -> set[tuple[str, str]]:
    """Items that need not be done again: all that were done but for those whose infrastructure failed."""
    last = {(row["instance_id"], row["source"]): row for row in read_rows(folder.attempts)}
    return {key for key, row in last.items() if row["bucket"] != "infra_failure"}


def _in_threads(work: Callable[[Item], Done], items: Iterable[Item], workers: int) -> Iterator[Done]:
    """Outcomes in the order in which they come. At an interrupt nothing new is started, and no box is left."""
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
        LIVE.close()  # threads that wait for a box would hold the process
        raise
    pool.shutdown()


class Progress:
    """A line for a person: done, resolved, not resolved, broken, and an estimate."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._say = say
        self._started = time.monotonic()
        self._buckets: Counter[str] = Counter()

    def __call__(self, done: Done) -> None:
        self._buckets[done.bucket] += 1
        count = self._buckets.total()
        left = (time.monotonic() - self._started) / count * (self._total - count)
        resolved, broken = self._buckets["resolved"], self._buckets["infra_failure"]
        detail = f": {done.verdict.detail}" if done.bucket in ("error", "infra_failure") else ""
        self._say(
            f"{count}/{self._total}  {done.item.task.instance_id} ({done.item.source}) "
            f"{done.bucket.replace('_', ' ')}{detail}  | resolved {resolved}, not {count - resolved - broken}, "
            f"broken {broken}, about {max(left, 0) / 60:.1f} min left"
        )
