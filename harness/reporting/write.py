"""Write and print the reports of training runs."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from harness.console import table_console
from harness.jsonl import write_json
from harness.reporting import html
from harness.reporting.comparison import comparison_numbers
from harness.reporting.examples import group_examples, validation_examples
from harness.reporting.numbers import chosen_evaluations, report_numbers
from harness.reporting.read import read_run
from harness.reporting.schema import ComparisonReport, RunReport
from harness.statistics.bootstrap import NO_INTERVAL
from trajectories.store import atomic_write


@dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """The files of a report."""

    json: Path
    html: Path


def build_report(run_dir: Path) -> RunReport:
    """Return the figures of a run as in report.json. Raises UserError if the folder is not a run."""
    return report_numbers(read_run(run_dir))


def report_runs(run_dirs: Sequence[Path], out: Path | None = None) -> ReportPaths:
    """Write and print the report of one run, or the comparison of several; replaces earlier files.

    ``out``: a folder; by default the run's own, or ``comparison/`` beside the first of several. Raises UserError.
    """
    if len(run_dirs) > 1:
        comparison = comparison_numbers([read_run(run_dir) for run_dir in run_dirs])
        folder = out or run_dirs[0].resolve().parent / "comparison"
        paths = _write(comparison, html.render_comparison(comparison), folder)
        print_summary(comparison["runs"], comparison["warnings"], paths)
        return paths
    data = read_run(run_dirs[0])
    report = report_numbers(data)
    page = html.render_report(
        report,
        config=data.config,
        groups=group_examples(data),
        examples=validation_examples(data, chosen_evaluations(data, [])),
    )
    paths = _write(report, page, out or run_dirs[0])
    print_summary({"": report}, [], paths)
    return paths


def _write(report: RunReport | ComparisonReport, page: str, folder: Path) -> ReportPaths:
    paths = ReportPaths(json=folder / "report.json", html=folder / "report.html")
    write_json(paths.json, report)
    with atomic_write(paths.html) as file:
        file.write(page)
    return paths


def print_summary(reports: Mapping[str, RunReport], warnings: Sequence[str], paths: ReportPaths) -> None:
    """Print each run's figures as a table with the headline and its warnings, then ``warnings`` and the paths."""
    console = table_console()
    for label, report in reports.items():
        if label:
            console.print(f"\n{label}", style="bold", markup=False)
        if report["stages"]:
            console.print(_summary_table(report))
        for sentence in filter(None, (html.headline(report), html.accuracy_headline(report))):
            console.print(sentence, markup=False, soft_wrap=True)
        _print_warnings(report["warnings"])
    _print_warnings(warnings)
    console.print(f"report: {paths.html} (figures: {paths.json.name})", markup=False, soft_wrap=True)


def _print_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _summary_table(report: RunReport) -> Table:
    name, others = report["trained_on"], html.other_rewards(report)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("held-out steps", no_wrap=True)
    for column in (name, "95 % interval", "skill", *others, "well-formed", "exact", "cut"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage, figures in report["stages"].items():
        reward = figures["step_reward"]
        table.add_row(
            escape(html.stage_label(stage)),
            html.number(reward["mean"] if reward else None),
            html.span(reward),
            html.number(report["skill"][stage].get(name, NO_INTERVAL)["mean"]),
            *(html.number(figures["rewards"][other]["mean"]) for other in others),
            html.percent(figures["format_rate"]),
            html.percent(figures["exact_match_rate"]),
            html.percent(figures["clipped_fraction"]),
        )
    best = report["baseline"]["best"] if report["baseline"] else {}
    if name in best:
        policy = f"best baseline: {escape(best[name]['policy'].replace('_', ' '))}"
        reward = best[name]
        of_others = (html.number(best[other]["mean"] if other in best else None) for other in others)
        mean = html.number(reward["mean"])
        table.add_row(policy, mean, html.span(reward), html.number(0.0), *of_others)
    return table
