"""The figures of an evaluation: SWE-bench's own keys, and ours beside them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from environments.swe.tasks import SWETask
from harness.evaluation.swe.calls import call_figures
from harness.evaluation.swe.exploits import suspicions
from harness.evaluation.swe.predictions import GOLD, NOOP, PREDICTIONS
from harness.statistics.binomial import mean_pass_at_k, wilson
from trajectories import Action
from trajectories.store import from_json

SCHEMA_VERSION = 2  # of SWE-bench's report

# Bucket of an item -> the key of the report that counts it; every instance is in exactly one.
BUCKETS: Mapping[str, str] = {
    "resolved": "resolved",
    "unresolved": "unresolved",
    "empty_patch": "empty_patch",
    "error": "error",
    "infra_failure": "infra_failure",
    "policy_failure": "policy_failure",
    "not_run": "incomplete",
}

Row = Mapping[str, Any]
Last = Mapping[tuple[str, str, int], Row]  # the last line about an item


def build_report(
    tasks: Sequence[SWETask],
    attempts: Iterable[Row],
    rollouts: Iterable[Row],
    verdicts: Iterable[Row],
    *,
    samples: int,
    model_name: str | None,
    first_calls: Mapping[str, Sequence[Action]] | None = None,
) -> dict[str, Any]:
    """The report over all tasks asked for, whether they were done or not.

    ``attempts``, ``rollouts`` and ``verdicts`` are the lines of a run's files; of several lines about the same
    item the last one counts. SWE-bench's keys are of the first sample. ``model_name`` is None where no
    predictions were judged: then only the certificate is filled. ``first_calls``: an expert's, by instance.
    """
    last = {(row["instance_id"], row["source"], row["sample"]): row for row in attempts}
    ids = [task.instance_id for task in tasks]
    report: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "total_instances": len(ids)}
    if model_name is not None:
        own = {name: [_bucket(last, name, PREDICTIONS, sample) for sample in range(samples)] for name in ids}
        buckets = {name: of_samples[0] for name, of_samples in own.items()}
        report |= _swebench_keys(ids, buckets, last)
        report |= {
            "model_name_or_path": model_name,
            "resolved_rate": wilson(sum(b == "resolved" for b in buckets.values()), len(ids)).as_json(),
            "by_repo": _by_repo(tasks, buckets),
            "samples": samples,
            "pass_at_k": _pass_at_k(list(own.values()), samples),
            **_of_rollouts(list(rollouts), report["resolved_instances"], first_calls),
            **_of_verdicts(
                list(verdicts), [row for (_, source, _), row in last.items() if source == PREDICTIONS]
            ),
        }
    return report | {"certificate": {source: _certificate(ids, last, source) for source in (GOLD, NOOP)}}


def _bucket(last: Last, name: str, source: str, sample: int = 0) -> str:
    row = last.get((name, source, sample))
    return str(row["bucket"]) if row else "not_run"


def _swebench_keys(ids: Sequence[str], buckets: Mapping[str, str], last: Last) -> dict[str, Any]:
    by_bucket: dict[str, list[str]] = {bucket: [] for bucket in BUCKETS}
    for name in sorted(ids):
        by_bucket[buckets[name]].append(name)
    groups = {key: by_bucket[bucket] for bucket, key in BUCKETS.items()}
    groups["completed"] = sorted(by_bucket["resolved"] + by_bucket["unresolved"])
    groups["submitted"] = sorted(name for name in ids if buckets[name] != "not_run")
    keys: dict[str, Any] = {f"{key}_instances": len(names) for key, names in groups.items()}
    keys |= {f"{key}_ids": names for key, names in groups.items()}
    broken = [*by_bucket["error"], *by_bucket["infra_failure"], *by_bucket["policy_failure"]]
    keys["failure_reasons"] = {name: last[name, PREDICTIONS, 0]["detail"] for name in broken}
    return keys


def _by_repo(tasks: Sequence[SWETask], buckets: Mapping[str, str]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for task in tasks:
        counts[task.repo]["total"] += 1
        counts[task.repo]["resolved"] += buckets[task.instance_id] == "resolved"
    return {repo: dict(count) for repo, count in sorted(counts.items())}


def _certificate(ids: Sequence[str], last: Last, source: str) -> dict[str, Any] | None:
    """What the reference patch, or the empty one, got on the same images; None if it was not judged."""
    buckets = {name: _bucket(last, name, source) for name in ids}
    if set(buckets.values()) == {"not_run"}:
        return None
    wanted = "resolved" if source == GOLD else "unresolved"
    return {
        "total": len(ids),
        "resolved": sum(bucket == "resolved" for bucket in buckets.values()),
        "unexpected": {name: bucket for name, bucket in buckets.items() if bucket != wanted},
    }


def _pass_at_k(buckets: Sequence[Sequence[str]], samples: int) -> dict[str, float]:
    """For k = 1, 2, 4, … and all samples."""
    correct = [(samples, sum(bucket == "resolved" for bucket in of_samples)) for of_samples in buckets]
    powers = {2**i for i in range(samples.bit_length()) if 2**i <= samples} | {samples}
    return {str(k): mean_pass_at_k(correct, k) for k in sorted(powers)}


def _of_rollouts(
    rows: Sequence[Row], resolved: int, first_calls: Mapping[str, Sequence[Action]] | None
) -> dict[str, Any]:
    """Of a policy's attempts: how they ended, their calls, their cost, which looked for the solution elsewhere."""
    last = {(row["instance_id"], row["sample"]): row for row in rows}
    if not last:
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    attempts = {key: from_json(row["trajectory"]) for key, row in sorted(last.items()) if row["trajectory"]}
    for (name, sample), attempt in attempts.items():
        for suspicion in suspicions(attempt):
            found.setdefault(name, []).append({"sample": sample, **asdict(suspicion)})
    cost = {
        key: sum(row[key] for row in last.values())
        for key in ("prompt_tokens", "completion_tokens", "seconds")
    }
    return {
        "rollout_status": dict(Counter(row["status"] for row in last.values())),
        "calls": call_figures(list(attempts.values()), first_calls),
        "suspected_exploit_ids": sorted(found),
        "suspected_exploits": found,
        "cost": {
            **cost,
            "per_attempt": {key: value / len(last) for key, value in cost.items()},
            "per_resolved": {key: value / resolved for key, value in cost.items()} if resolved else None,
        },
    }


def _of_verdicts(verdicts: Sequence[Row], own: Sequence[Row]) -> dict[str, Any]:
    by_key = {(row["instance_id"], row["patch_digest"]): row for row in verdicts}
    judged = [by_key[key] for row in own if (key := (row["instance_id"], row["patch_digest"])) in by_key]
    return {
        "stripped_from_patches": {row["instance_id"]: row["stripped"] for row in judged if row["stripped"]},
        "forged_results_ids": sorted(r["instance_id"] for r in judged if r["reason"] == "forged_results"),
        "test_seconds": round(sum(row["test_seconds"] for row in judged), 1),
        "verdict_seconds": round(sum(row["seconds"] for row in judged), 1),
    }
