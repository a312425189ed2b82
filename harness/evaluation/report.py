"""The figures of an evaluation: SWE-bench's own keys, and ours beside them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from environments.swe.patches import Stripped
from environments.swe.tasks import SWETask
from harness.evaluation.exploits import suspicions
from harness.evaluation.records import GOLD, NOOP, POLICY
from harness.rates import mean_pass_at_k, wilson
from trajectories.store import from_json

SCHEMA_VERSION = 2  # of SWE-bench's report

# Bucket of an item -> the key of SWE-bench's report that counts it; every instance is in exactly one.
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


def build_report(
    tasks: Sequence[SWETask],
    attempts: Iterable[Row],
    rollouts: Iterable[Row],
    verdicts: Iterable[Row],
    *,
    samples: int,
    model_name: str,
) -> dict[str, Any]:
    """The report over all tasks asked for, whether they were done or not.

    ``attempts``, ``rollouts`` and ``verdicts`` are the lines of a run's files; of several lines about the same
    item the last one counts.
    """
    last = {(row["instance_id"], row["source"], row["sample"]): row for row in attempts}
    ids = [task.instance_id for task in tasks]
    own = {name: [_bucket(last, name, POLICY, s) for s in range(samples)] for name in ids}
    first = {name: buckets[0] for name, buckets in own.items()}
    report = _swebench_keys(ids, first, last)
    report |= {
        "model_name_or_path": model_name,
        "samples": samples,
        "resolved_rate": wilson(sum(b == "resolved" for b in first.values()), len(ids)).as_json(),
        "by_repo": _by_repo(tasks, first),
        "certificate": {source: _certificate(ids, last, source) for source in (GOLD, NOOP)},
    }
    if samples > 1:
        correct = [(samples, sum(b == "resolved" for b in buckets)) for buckets in own.values()]
        report["pass_at_k"] = {str(k): mean_pass_at_k(correct, k) for k in _powers(samples)}
    report |= _of_rollouts(list(rollouts), report["resolved_instances"])
    report |= _of_verdicts(list(verdicts), [row for (_, source, _), row in last.items() if source == POLICY])
    return report


def _bucket(last: Mapping[tuple[str, str, int], Row], name: str, source: str, sample: int) -> str:
    row = last.get((name, source, sample))
    return str(row["bucket"]) if row else "not_run"


def _swebench_keys(
    ids: Sequence[str], buckets: Mapping[str, str], last: Mapping[tuple[str, str, int], Row]
) -> dict[str, Any]:
    by_bucket: dict[str, list[str]] = {bucket: [] for bucket in BUCKETS}
    for name in sorted(ids):
        by_bucket[buckets[name]].append(name)
    assert sum(map(len, by_bucket.values())) == len(ids)
    groups = {key: by_bucket[bucket] for bucket, key in BUCKETS.items()}
    groups["completed"] = sorted(by_bucket["resolved"] + by_bucket["unresolved"])
    groups["submitted"] = sorted(name for name in ids if buckets[name] != "not_run")
    keys: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "total_instances": len(ids)}
    keys |= {f"{key}_instances": len(names) for key, names in groups.items()}
    keys |= {f"{key}_ids": names for key, names in groups.items()}
    broken = [*by_bucket["error"], *by_bucket["infra_failure"], *by_bucket["policy_failure"]]
    keys["failure_reasons"] = {name: last[name, POLICY, 0]["detail"] for name in broken}
    return keys


def _by_repo(tasks: Sequence[SWETask], buckets: Mapping[str, str]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for task in tasks:
        counts[task.repo]["total"] += 1
        counts[task.repo]["resolved"] += buckets[task.instance_id] == "resolved"
    return {repo: dict(count) for repo, count in sorted(counts.items())}


def _certificate(
    ids: Sequence[str], last: Mapping[tuple[str, str, int], Row], source: str
) -> dict[str, Any] | None:
    """What the reference patch, or the empty one, got on the same images; None if it was not judged."""
    buckets = {name: _bucket(last, name, source, 0) for name in ids}
    if set(buckets.values()) == {"not_run"}:
        return None
    wanted = "resolved" if source == GOLD else "unresolved"
    return {
        "total": len(ids),
        "as_expected": sum(bucket == wanted for bucket in buckets.values()),
        "resolved": sum(bucket == "resolved" for bucket in buckets.values()),
        "unexpected": {name: bucket for name, bucket in buckets.items() if bucket != wanted},
    }


def _powers(samples: int) -> list[int]:
    """1, 2, 4, … and the number of samples itself."""
    return sorted({2**i for i in range(samples.bit_length()) if 2**i <= samples} | {samples})


def _of_rollouts(rows: Sequence[Row], resolved: int) -> dict[str, Any]:
    last = {(row["instance_id"], row["sample"]): row for row in rows}
    found: dict[str, list[dict[str, Any]]] = {}
    for (name, _), row in sorted(last.items()):
        if row["trajectory"] is None:
            continue
        if suspicious := suspicions(from_json(row["trajectory"])):
            found.setdefault(name, []).extend(
                {"sample": row["sample"], "step": s.step, "rule": s.rule, "excerpt": s.excerpt}
                for s in suspicious
            )
    costs = {
        key: sum(row[key] for row in last.values())
        for key in ("prompt_tokens", "completion_tokens", "seconds")
    }
    count = len(last)
    return {
        "rollout_status": dict(Counter(row["status"] for row in last.values())),
        "suspected_exploit_ids": sorted(found),
        "suspected_exploits": found,
        "cost": {
            **costs,
            "per_attempt": {key: value / count for key, value in costs.items()} if count else None,
            "per_resolved": {key: value / resolved for key, value in costs.items()} if resolved else None,
        },
    }


def _of_verdicts(rows: Sequence[Row], own: Sequence[Row]) -> dict[str, Any]:
    by_key = {(row["instance_id"], row["patch_digest"]): row for row in rows}
    judged = [by_key[key] for row in own if (key := (row["instance_id"], row["patch_digest"])) in by_key]
    stripped: dict[str, list[dict[str, str]]] = {}
    for row in judged:
        for part in row["stripped"]:
            entry = Stripped(**part)
            stripped.setdefault(row["instance_id"], []).append({"path": entry.path, "reason": entry.reason})
    return {
        "stripped_from_patches": stripped,
        "forged_results_ids": sorted({r["instance_id"] for r in judged if r["reason"] == "forged_results"}),
        "test_seconds": sum(row["test_seconds"] for row in judged),
        "verdict_seconds": sum(row["seconds"] for row in judged),
    }
