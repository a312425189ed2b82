"""python -m harness.report RUN [RUN …]: report.json and report.html of a run, or of several side by side."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import UserError, run

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """Where a report was written."""

    json: Path
    html: Path


def build_report(run_dir: Path) -> dict[str, Any]:
    """The figures of a run, as report.json has them. Raises UserError if the folder is not a run."""
    from harness.reporting.data import read_run
    from harness.reporting.numbers import report_numbers

    return report_numbers(read_run(run_dir))


def write_report(run_dir: Path, out: Path | None = None) -> ReportPaths:
    """Report of one run, into its own folder unless told otherwise. Replaces an earlier report as a whole."""
    return _write(*_one_run(run_dir), out or run_dir)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harness.report",
        description="Write report.json and a self-contained report.html of a training run, "
        "or of several runs side by side; compare evaluations.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="folder of a run: outputs/<run>")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="where to write (default: the run's folder; for several runs, comparison/ beside the first)",
    )
    options = parser.parse_args(arguments)
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise UserError(f"--out {options.out}: is a file, not a folder", exit_code=2)
    if any(_is_evaluation(run) for run in options.runs):
        return _of_evaluations(options.runs, options.out)
    several = len(options.runs) > 1
    report, page = _several_runs(options.runs) if several else _one_run(options.runs[0])
    default = options.runs[0].resolve().parent / "comparison" if several else options.runs[0]
    paths = _write(report, page, options.out or default)
    print_summary(report, paths)
    return 0


def _is_evaluation(run_dir: Path) -> bool:
    from harness.evaluation.comparison import is_evaluation

    return is_evaluation(run_dir)


def _of_evaluations(runs: list[Path], out: Path | None) -> int:
    """An evaluation's report again, or several compared. Raises UserError."""
    from harness.evaluation.comparison import compare_evaluations, read_report
    from harness.evaluation.records import EvaluationFolder
    from harness.evaluation.summary import print_comparison, print_math_report, print_report
    from trajectories.store import atomic_write

    if others := [run for run in runs if not _is_evaluation(run)]:
        raise UserError(f"{others[0]} is no evaluation: compare evaluations with evaluations", exit_code=2)
    if len(runs) == 1:
        if out is not None:
            raise UserError(
                "--out: an evaluation's report stays in its folder; --out is for runs and comparisons",
                exit_code=2,
            )
        report = read_report(runs[0])
        show = print_math_report if report.get("domain") == "math" else print_report
        show(report, EvaluationFolder(runs[0]).report)
        return 0
    comparison = compare_evaluations(runs)
    path = (out or runs[0].resolve().parent / "comparison") / "report.json"
    with atomic_write(path) as file:
        file.write(json.dumps(comparison, indent=2) + "\n")
    print_comparison(comparison, path)
    return 0


def _one_run(run_dir: Path) -> tuple[dict[str, Any], str]:
    from harness.reporting.data import read_run
    from harness.reporting.examples import group_examples, held_out_examples
    from harness.reporting.html import render_report
    from harness.reporting.numbers import chosen_evaluations, report_numbers

    data = read_run(run_dir)
    report = report_numbers(data)
    page = render_report(
        report,
        config=data.config,
        groups=group_examples(data),
        held_out=held_out_examples(data, chosen_evaluations(data, [])),
    )
    return report, page


def _several_runs(run_dirs: list[Path]) -> tuple[dict[str, Any], str]:
    from harness.reporting.comparison import comparison_numbers
    from harness.reporting.data import read_run
    from harness.reporting.html import render_comparison

    comparison = comparison_numbers([read_run(run_dir) for run_dir in run_dirs])
    return comparison, render_comparison(comparison)


def _write(report: dict[str, Any], page: str, folder: Path) -> ReportPaths:
    from trajectories.store import atomic_write

    paths = ReportPaths(json=folder / "report.json", html=folder / "report.html")
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    for path, content in ((paths.json, text), (paths.html, page)):
        with atomic_write(path) as out:
            out.write(content)
    return paths


def print_summary(report: dict[str, Any], paths: ReportPaths) -> None:
    """Every run's held-out figures as a table with the headline, the warnings, and where the report is."""
    from harness.console import table_console
    from harness.reporting.html import accuracy_headline, headline

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
    from rich.markup import escape
    from rich.table import Table

    from harness.reporting.html import number, other_rewards, percent, span, stage_label

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


if __name__ == "__main__":
    sys.exit(run(main))
