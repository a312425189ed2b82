"""Write and print the reports of training runs."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from harness.console import table_console
from harness.reporting.comparison import comparison_numbers
from harness.reporting.data import read_run
from harness.reporting.examples import group_examples, held_out_examples
from harness.reporting.html import (
    accuracy_headline,
    headline,
    number,
    other_rewards,
    percent,
    render_comparison,
    render_report,
    span,
    stage_label,
)
from harness.reporting.numbers import chosen_evaluations, report_numbers
from trajectories.store import atomic_write


@dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """Where a report was written."""

    json: Path
    html: Path


def build_report(run_dir: Path) -> dict[str, Any]:
    """Compute the figures of a run, as report.json has them. Raises UserError if the folder is not a run."""
    return report_numbers(read_run(run_dir))


def report_runs(run_dirs: Sequence[Path], out: Path | None = None) -> ReportPaths:
    """Write and print the report of one run, or the comparison of several. Replaces earlier files as a whole.

    ``out``: a folder; by default the run's own, or ``comparison/`` beside the first of several. Raises UserError.
    """
    if len(run_dirs) == 1:
        (run_dir,) = run_dirs
        report, page = _one_run(run_dir)
        paths = _write(report, page, out or run_dir)
    else:
        report = comparison_numbers([read_run(run_dir) for run_dir in run_dirs])
        paths = _write(report, render_comparison(report), out or run_dirs[0].resolve().parent / "comparison")
    print_summary(report, paths)
    return paths


def _one_run(run_dir: Path) -> tuple[dict[str, Any], str]:
    data = read_run(run_dir)
    report = report_numbers(data)
    page = render_report(
        report,
        config=data.config,
        groups=group_examples(data),
        held_out=held_out_examples(data, chosen_evaluations(data, [])),
    )
    return report, page


def _write(report: dict[str, Any], page: str, folder: Path) -> ReportPaths:
    paths = ReportPaths(json=folder / "report.json", html=folder / "report.html")
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    for path, content in ((paths.json, text), (paths.html, page)):
        with atomic_write(path) as file:
            file.write(content)
    return paths


def print_summary(report: dict[str, Any], paths: ReportPaths) -> None:
    """Every run's held-out figures as a table with the headline, the warnings, and where the report is."""
    console = table_console()
    for label, one in report.get("runs", {"": report}).items():
        if label:
            console.print(f"\n{label}", style="bold", markup=False)
        if one["stages"]:
            console.print(_summary_table(one))
        for sentence in filter(None, (headline(one), accuracy_headline(one))):
            console.print(sentence, markup=False, soft_wrap=True)
        for warning in one["warnings"]:
            print(f"warning: {warning}", file=sys.stderr)
    for warning in report["warnings"] if "runs" in report else ():
        print(f"warning: {warning}", file=sys.stderr)
    console.print(f"report: {paths.html} (figures: {paths.json.name})", markup=False, soft_wrap=True)


def _summary_table(report: dict[str, Any]) -> "Table":
    name, others = report["trained_on"], other_rewards(report)
    nothing = {"mean": None}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("held-out steps", no_wrap=True)
    for column in (name, "95 % interval", "skill", *others, "well-formed", "exact", "cut"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage, figures in report["stages"].items():
        reward = figures["step_reward"]
        rates = ("format_rate", "exact_match_rate", "clipped_fraction")
        table.add_row(
            escape(stage_label(stage)),
            number(reward["mean"] if reward else None),
            span(reward),
            number(report["skill"][stage].get(name, nothing)["mean"]),
            *(number(figures["rewards"][other]["mean"]) for other in others),
            *(percent(figures[rate]) for rate in rates),
        )
    best = (report["baseline"] or {"best": {}})["best"]
    if name in best:
        policy = escape(best[name]["policy"].replace("_", " "))
        of_others = (number(best.get(other, nothing)["mean"]) for other in others)
        table.add_row(
            f"best baseline: {policy}", number(best[name]["mean"]), span(best[name]), number(0.0), *of_others
        )
    return table
