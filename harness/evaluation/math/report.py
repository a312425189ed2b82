"""The figures of an evaluation on mathematical problems."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from environments.math.tasks import MathTask
from harness.evaluation.math.attempts import BUCKETS, POLICY_FAILURE, last_attempts
from harness.statistics.binomial import mean_pass_at_k, wilson
from harness.statistics.bootstrap import two_level_bootstrap

SCHEMA_VERSION = 2  # as of the other evaluations
_NOT_RUN = "incomplete"

Row = Mapping[str, Any]


def build_math_report(
    tasks: Sequence[MathTask],
    attempts: Iterable[dict[str, Any]],
    rollouts: Iterable[Row],
    *,
    greedy: bool,
    samples: int,
    model_name: str,
) -> dict[str, Any]:
    """The report over all problems asked for, whether they were done or not.

    An answer that nobody could judge counts as not right, and apart. Buckets are of the greedy answer, or of the first
    sample where there is none.
    """
    last = last_attempts(attempts)

    def bucket(name: str, kind: str, sample: int = 0) -> str:
        return str(last.get((name, kind, sample), {}).get("bucket", _NOT_RUN))

    ids = [task.instance_id for task in tasks]
    first = {name: bucket(name, "greedy" if greedy else "sampled") for name in ids}
    report: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "domain": "math",
        "model_name_or_path": model_name,
        "total_instances": len(ids),
    }
    for name in (*BUCKETS.values(), POLICY_FAILURE, _NOT_RUN):
        report[f"{name}_ids"] = sorted(i for i in ids if first[i] == name)
        report[f"{name}_instances"] = len(report[f"{name}_ids"])
    report["resolved_rate"] = wilson(report["resolved_instances"], len(ids)).as_json()
    report["first_answer"] = "greedy" if greedy else "sampled"
    if samples:
        right = {name: [bucket(name, "sampled", s) == "resolved" for s in range(samples)] for name in ids}
        counts = [(samples, sum(flags)) for flags in right.values()]
        powers = {2**i for i in range(samples.bit_length()) if 2**i <= samples} | {samples}
        report["samples"] = samples
        report["avg_at_k"] = two_level_bootstrap(list(right.values())).as_json()
        report["pass_at_k"] = {str(k): mean_pass_at_k(counts, k) for k in sorted(powers)}
        report["correct_samples"] = {name: sum(flags) for name, flags in right.items()}
        report["sampled_buckets"] = dict(
            Counter(bucket(name, "sampled", s) for name in ids for s in range(samples))
        )
    return report | _cost(rollouts)


def _cost(rollouts: Iterable[Row]) -> dict[str, Any]:
    last = {(row["instance_id"], row["source"], row["sample"]): row for row in rollouts}
    if not last:
        return {}
    keys = ("prompt_tokens", "completion_tokens", "seconds")
    cost = {key: sum(row[key] for row in last.values()) for key in keys}
    return {
        "rollout_status": dict(Counter(row["status"] for row in last.values())),
        "cost": {**cost, "per_attempt": {key: value / len(last) for key, value in cost.items()}},
    }
