"""Evaluations side by side: which resolved more of the same tasks, and whether the difference may be chance."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

from harness.cli import UsageError, UserError, user_errors
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.summary import print_comparison, print_report
from harness.jsonl import write_json
from harness.statistics.binomial import compare
from trajectories.types import JSON

# Buckets that say something of an answer.
_VERIFIED = ("resolved", "unresolved", "empty_patch", "error", "no_answer")


def is_evaluation(run: Path) -> bool:
    """Return whether ``harness.evaluate`` made a run's folder."""
    return EvaluationFolder(run).attempts.exists()


def read_report(run: Path) -> dict[str, JSON]:
    """Read the report of an evaluation. Raises UserError if it has none yet."""
    path = EvaluationFolder(run).report
    if not path.exists():
        raise UserError(
            f"{run}: the evaluation has no report yet: finish it with `python -m harness.evaluate --resume {run}`"
        )
    report: dict[str, JSON] = json.loads(path.read_text(encoding="utf-8"))
    return report


def compare_evaluations(runs: Sequence[Path]) -> dict[str, JSON]:
    """Return the resolved rates of evaluations, and for each pair the exact McNemar test on tasks both verified.

    Only the first answer to a task counts. Raises UserError if a run verified no predictions, or two have no task
    in common.
    """
    reports = {str(run): read_report(run) for run in runs}
    if len(reports) < len(runs):
        raise UsageError("the same run is named twice")
    for name, report in reports.items():
        if "resolved_ids" not in report:
            raise UserError(f"{name}: verified no predictions, only the sanity check: nothing to compare")
    differences = []
    for first, second in combinations(reports, 2):
        with user_errors(ValueError, about=f"{first} and {second}"):
            found = compare(_resolved(reports[first]), _resolved(reports[second]))
        differences.append({"first": first, "second": second, **asdict(found)})
    rates = {
        name: {"model_name_or_path": report["model_name_or_path"], **report["resolved_rate"]}
        for name, report in reports.items()
    }
    return {"schema_version": 1, "runs": rates, "differences": differences}


def _resolved(report: dict[str, JSON]) -> dict[str, bool]:
    """Return for each task with a verdict whether it is resolved."""
    return {name: bucket == "resolved" for bucket in _VERIFIED for name in report.get(f"{bucket}_ids", ())}


def report_evaluations(runs: Sequence[Path], out: Path | None = None) -> None:
    """Print the report of one evaluation again, or write and print a comparison of several. Raises UserError."""
    if others := [run for run in runs if not is_evaluation(run)]:
        raise UsageError(f"{others[0]} is no evaluation: compare evaluations with evaluations")
    if len(runs) == 1:
        if out is not None:
            raise UsageError(
                "--out: an evaluation's report stays in its folder; --out is for runs and comparisons"
            )
        print_report(read_report(runs[0]), EvaluationFolder(runs[0]).report)
        return
    comparison = compare_evaluations(runs)
    path = (out or runs[0].resolve().parent / "comparison") / "report.json"
    write_json(path, comparison)
    print_comparison(comparison, path)
