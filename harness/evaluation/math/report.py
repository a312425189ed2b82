"""The report's figures of mathematical problems alone."""

from collections import Counter
from collections.abc import Sequence

from environments.math.tasks import MathTask
from harness.evaluation import report as shared
from harness.evaluation.math.attempts import BUCKETS, GREEDY, SAMPLED
from harness.evaluation.records import RolloutRecord
from harness.statistics.bootstrap import two_level_bootstrap
from trajectories.types import JSON


def build_math_report(
    tasks: Sequence[MathTask],
    records: shared.Records,
    rollouts: Sequence[RolloutRecord],
    *,
    greedy: bool,
    samples: int,
    model_name: str,
) -> dict[str, JSON]:
    """Return the report over all problems asked for, whether they were done or not.

    An answer that could not be verified counts as not right, and apart. Buckets are of the greedy answer, or of the
    first sample where there is none.
    """
    ids = [task.instance_id for task in tasks]
    first = GREEDY if greedy else SAMPLED
    report: dict[str, JSON] = {
        "schema_version": shared.SCHEMA_VERSION,
        "domain": "math",
        "total_instances": len(ids),
        "first_answer": first,
        **shared.core_report(
            ids, records, source=first, buckets=(*BUCKETS.values(), "policy_failure"), model_name=model_name
        ),
    }
    if samples:
        resolved = shared.resolved_samples(ids, records, source=SAMPLED, samples=samples)
        report["samples"] = samples
        report["avg_at_k"] = two_level_bootstrap(list(resolved.values())).as_json()
        report["pass_at_k"] = shared.pass_at_k(resolved, samples)
        report["correct_samples"] = {name: sum(flags) for name, flags in resolved.items()}
        buckets = Counter(shared.bucket_of(records, name, SAMPLED, n) for name in ids for n in range(samples))
        report["sampled_buckets"] = dict(buckets)
    return report | shared.rollout_report(rollouts)
