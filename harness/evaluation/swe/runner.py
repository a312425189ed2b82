"""Items to workers, outcomes to files as they come; a rerun goes on where the last one stopped."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

from environments.swe.grading import Verdict
from environments.swe.tasks import SWETask
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.swe.attempts import Done, Item, prediction_of, rollout_row, verdict_from, verdict_row
from harness.evaluation.swe.predictions import GOLD, NOOP, PREDICTIONS
from harness.jsonl import drop_torn_line, read_rows

Execute = Callable[[Iterable[Item]], Iterator[Done]]  # outcomes in the order in which they come

BROKEN = frozenset({"infra_failure", "policy_failure"})  # buckets of items that say nothing of a patch


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
        for source in (GOLD, NOOP, PREDICTIONS)
        if source in sources
        for task in tasks
        for sample in range(samples if source == PREDICTIONS else 1)
    ]


def run_items(
    items: Sequence[Item],
    execute: Execute,
    folder: EvaluationFolder,
    verdicts: Verdicts,
    *,
    model_name: str,
    on_done: Callable[[Done], None],
) -> None:
    """Do what is left of ``items``; every outcome is on its way to the disk before the next is waited for."""
    for path in (folder.rollouts, folder.predictions, folder.verdicts, folder.attempts):
        drop_torn_line(path)
    for row in read_rows(folder.verdicts):
        verdicts.add(verdict_from(row))
    finished = finished_items(folder)
    for done in execute(item for item in items if item.key not in finished):
        _write(done, folder, verdicts, model_name)
        on_done(done)


def _write(done: Done, folder: EvaluationFolder, verdicts: Verdicts, model_name: str) -> None:
    if done.proposal.rollout is not None or done.proposal.failure is not None:
        folder.append(folder.rollouts, [rollout_row(done)])
        folder.append(folder.predictions, [asdict(prediction_of(done, model_name))])
    if done.verdict is not None and verdicts.add(done.verdict):
        folder.append(folder.verdicts, [verdict_row(done.verdict)])
    row = {
        "instance_id": done.item.task.instance_id,
        "source": done.item.source,
        "sample": done.item.sample,
        "bucket": done.bucket,
        "patch_digest": done.verdict.patch_digest if done.verdict else None,
        "detail": done.detail,
    }
    folder.append(folder.attempts, [row])  # last: an item without it is done again


def finished_items(folder: EvaluationFolder) -> set[tuple[str, str, int]]:
    """Items that need not be done again: all that were done but for those whose infrastructure failed."""
    last = {(row["instance_id"], row["source"], row["sample"]): row for row in read_rows(folder.attempts)}
    return {key for key, row in last.items() if row["bucket"] not in BROKEN}


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
        resolved, broken = self._buckets["resolved"], sum(self._buckets[bucket] for bucket in BROKEN)
        detail = f": {done.detail}" if done.bucket in {"error", *BROKEN} else ""
        self._say(
            f"{count}/{self._total}  {done.item.task.instance_id} ({done.item.source}) "
            f"{done.bucket.replace('_', ' ')}{detail}  | resolved {resolved}, not {count - resolved - broken}, "
            f"broken {broken}, about {max(left, 0) / 60:.1f} min left"
        )
