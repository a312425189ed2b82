"""The figures that all evaluations share, with SWE-bench's own keys where it has them."""

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.evaluation.records import AttemptRecord, Bucket, Key, RolloutRecord
from harness.statistics.binomial import mean_pass_at_k, wilson
from trajectories.types import JSON

SCHEMA_VERSION = 2  # of SWE-bench's report
INCOMPLETE = "incomplete"  # where there is no record

Records = Mapping[Key, AttemptRecord]  # the last ones


def bucket_of(records: Records, instance_id: str, source: str, sample: int = 0) -> str:
    """Return the bucket of a sample, ``incomplete`` if it was not done."""
    record = records.get(Key(instance_id, source, sample))
    return record.bucket if record else INCOMPLETE


def core_report(
    ids: Sequence[str], records: Records, *, source: str, buckets: Sequence[Bucket], model_name: str
) -> dict[str, JSON]:
    """Count instances by the bucket of the first sample of ``source``; every instance is in exactly one."""
    first = {name: bucket_of(records, name, source) for name in sorted(ids)}
    report: dict[str, JSON] = {"model_name_or_path": model_name}
    for bucket in (*buckets, INCOMPLETE):
        report[f"{bucket}_ids"] = [name for name, found in first.items() if found == bucket]
        report[f"{bucket}_instances"] = len(report[f"{bucket}_ids"])
    return report | {"resolved_rate": wilson(report["resolved_instances"], len(ids)).as_json()}


def resolved_samples(
    ids: Sequence[str], records: Records, *, source: str, samples: int
) -> dict[str, list[bool]]:
    """Return for each instance which of its samples are resolved; one that was not done is not."""
    numbers = range(samples)
    return {name: [bucket_of(records, name, source, n) == "resolved" for n in numbers] for name in ids}


def pass_at_k(resolved: Mapping[str, Sequence[bool]], samples: int) -> dict[str, float]:
    """Return pass@k for k = 1, 2, 4, … and all samples."""
    counts = [(samples, sum(flags)) for flags in resolved.values()]
    powers = {2**i for i in range(samples.bit_length()) if 2**i <= samples} | {samples}
    return {str(k): mean_pass_at_k(counts, k) for k in sorted(powers)}


def rollout_report(rollouts: Sequence[RolloutRecord], *, per_resolved: int | None = None) -> dict[str, JSON]:
    """Return how attempts ended and their cost: tokens, and seconds without the verifier's. Empty without any.

    ``per_resolved``: the number of resolved instances, where the cost of one is a figure.
    """
    if not rollouts:
        return {}
    keys = ("prompt_tokens", "completion_tokens", "seconds")
    total = {key: sum(getattr(rollout, key) for rollout in rollouts) for key in keys}
    cost: dict[str, JSON] = {**total, "per_attempt": _shared(total, len(rollouts))}
    if per_resolved is not None:
        cost["per_resolved"] = _shared(total, per_resolved)
    return {"rollout_status": dict(Counter(rollout.status for rollout in rollouts)), "cost": cost}


def _shared(total: Mapping[str, float], count: int) -> dict[str, float] | None:
    return {key: value / count for key, value in total.items()} if count else None
