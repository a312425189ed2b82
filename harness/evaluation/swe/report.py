"""The report's figures of SWE tasks alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from environments.swe.grading import Verdict
from environments.swe.tasks import SWETask
from harness.config.evaluation import GOLD, NOOP, PREDICTIONS, Source
from harness.evaluation import report as shared
from harness.evaluation.records import FAILURES, Bucket, Key, RolloutRecord
from harness.evaluation.swe.calls import call_figures
from harness.evaluation.swe.evaluator import PatchRecord
from harness.evaluation.swe.exploits import suspicions
from trajectories import Action
from trajectories.store import from_json
from trajectories.types import JSON

_BUCKETS: tuple[Bucket, ...] = ("resolved", "unresolved", "empty_patch", "error", *FAILURES.values())

Records = Mapping[Key, PatchRecord]


def build_report(
    tasks: Sequence[SWETask],
    records: Records,
    rollouts: Iterable[RolloutRecord],
    verdicts: Iterable[Verdict],
    *,
    samples: int,
    model_name: str | None,
    first_calls: Mapping[str, Sequence[Action]] | None = None,
) -> dict[str, JSON]:
    """Return the report over all tasks asked for, whether they were done or not.

    SWE-bench's keys are of the first sample. ``model_name`` is None where no predictions were verified: then only
    the sanity check is filled. ``first_calls``: an expert's, by instance.
    """
    ids = [task.instance_id for task in tasks]
    report: dict[str, JSON] = {"schema_version": shared.SCHEMA_VERSION, "total_instances": len(ids)}
    if model_name is not None:
        source = PREDICTIONS
        report |= shared.core_report(ids, records, source=source, buckets=_BUCKETS, model_name=model_name)
        report |= _swebench_keys(ids, report, records)
        resolved = shared.resolved_samples(ids, records, source=source, samples=samples)
        report |= {
            "by_repo": _by_repo(tasks, frozenset(report["resolved_ids"])),
            "samples": samples,
            "pass_at_k": shared.pass_at_k(resolved, samples),
            **_rollouts(sorted(rollouts, key=lambda one: one.key), report["resolved_instances"], first_calls),
            **_verdicts(verdicts, [record for record in records.values() if record.source == PREDICTIONS]),
        }
    return report | {"certificate": {source: _sanity_check(ids, records, source) for source in (GOLD, NOOP)}}


def _swebench_keys(ids: Sequence[str], report: Mapping[str, JSON], records: Records) -> dict[str, JSON]:
    completed = sorted([*report["resolved_ids"], *report["unresolved_ids"]])
    submitted = sorted(set(ids) - set(report[f"{shared.INCOMPLETE}_ids"]))
    broken = [name for bucket in ("error", *FAILURES.values()) for name in report[f"{bucket}_ids"]]
    return {
        "completed_ids": completed,
        "completed_instances": len(completed),
        "submitted_ids": submitted,
        "submitted_instances": len(submitted),
        "failure_reasons": {name: records[Key(name, PREDICTIONS, 0)].detail for name in broken},
    }


def _by_repo(tasks: Sequence[SWETask], resolved: frozenset[str]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for task in tasks:
        counts[task.repo]["total"] += 1
        counts[task.repo]["resolved"] += task.instance_id in resolved
    return {repo: dict(count) for repo, count in sorted(counts.items())}


def _sanity_check(ids: Sequence[str], records: Records, source: Source) -> dict[str, JSON] | None:
    """Return what the reference patch, or the empty one, got on the same images; None if it was not verified."""
    buckets = {name: shared.bucket_of(records, name, source) for name in ids}
    if set(buckets.values()) == {shared.INCOMPLETE}:
        return None
    wanted = "resolved" if source == GOLD else "unresolved"
    return {
        "total": len(ids),
        "resolved": sum(bucket == "resolved" for bucket in buckets.values()),
        "unexpected": {name: bucket for name, bucket in buckets.items() if bucket != wanted},
    }


def _rollouts(
    rollouts: Sequence[RolloutRecord], resolved: int, first_calls: Mapping[str, Sequence[Action]] | None
) -> dict[str, JSON]:
    """Return how a policy's attempts ended, their calls, their cost, and which looked for the solution elsewhere."""
    if not rollouts:
        return {}
    found: dict[str, list[dict[str, JSON]]] = defaultdict(list)
    for rollout in rollouts:
        steps = from_json(rollout.trajectory) if rollout.trajectory else None
        for suspicion in suspicions(steps) if steps else ():
            found[rollout.instance_id].append({"sample": rollout.sample, **asdict(suspicion)})
    finished = [made for rollout in rollouts if (made := rollout.finished) is not None]
    return {
        **shared.rollout_report(rollouts, per_resolved=resolved),
        "calls": call_figures(finished, first_calls),
        "suspected_exploit_ids": sorted(found),
        "suspected_exploits": found,
    }


def _verdicts(verdicts: Iterable[Verdict], own: Sequence[PatchRecord]) -> dict[str, JSON]:
    by_key = {(verdict.instance_id, verdict.patch_digest): verdict for verdict in verdicts}
    keys = [(record.instance_id, record.patch_digest or "") for record in own]
    given = [by_key[key] for key in keys if key in by_key]
    return {
        "stripped_from_patches": {v.instance_id: [*map(asdict, v.stripped)] for v in given if v.stripped},
        "forged_results_ids": sorted(v.instance_id for v in given if v.reason == "forged_results"),
        "test_seconds": round(sum(verdict.test_seconds for verdict in given), 1),
        "verdict_seconds": round(sum(verdict.seconds for verdict in given), 1),
    }
