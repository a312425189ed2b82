"""The end of an evaluation, and comparisons, for a person."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.config.evaluation import GOLD, NOOP
from harness.statistics.binomial import p_words
from trajectories.types import JSON

_ROWS = ("resolved", "unresolved", "empty_patch", "error", "infra_failure", "policy_failure", "incomplete")


def print_report(report: Mapping[str, JSON], path: Path) -> None:
    """Print the report of an evaluation of either domain."""
    console = Console(highlight=False)
    (_print_math if report.get("domain") == "math" else _print_swe)(console, report)
    if (found := report.get("contamination")) and found["matches"]:
        names = list(dict.fromkeys(match["instance"] for match in found["matches"]))
        console.print(
            f"trained on: {len(names)} of {report['total_instances']} tasks ({', '.join(names[:10])})",
            soft_wrap=True,
        )
    console.print(f"report: {path}", soft_wrap=True)


def _print_swe(console: Console, report: Mapping[str, JSON]) -> None:
    """Print the buckets as a table, and the sanity check beside it."""
    if "model_name_or_path" in report:
        table = Table(title=report["model_name_or_path"], title_justify="left")
        table.add_column("")
        table.add_column("instances", justify="right")
        for key in _ROWS:
            if count := report[f"{key}_instances"]:
                table.add_row(key.replace("_", " "), str(count))
        table.add_row("all", str(report["total_instances"]), style="bold")
        console.print(table)
        rate = report["resolved_rate"]
        console.print(
            f"resolved {rate['mean']:.1%} (95 % interval {rate['low']:.1%} to {rate['high']:.1%}, "
            f"{rate['successes']} of {rate['n']})"
        )
        if report["samples"] > 1:
            console.print(", ".join(f"pass@{k} {value:.1%}" for k, value in report["pass_at_k"].items()))
        _print_calls(console, report)
        if report.get("suspected_exploit_ids"):
            console.print(f"looked for the solution elsewhere: {', '.join(report['suspected_exploit_ids'])}")
        if report["forged_results_ids"]:
            console.print(f"forged test results: {', '.join(report['forged_results_ids'])}")
    for source, what in ((GOLD, "reference patch"), (NOOP, "empty patch")):
        if found := report["certificate"][source]:
            line = f"{what}: {found['resolved']} of {found['total']} resolved"
            odd = ", ".join(f"{name} ({bucket})" for name, bucket in found["unexpected"].items())
            console.print(f"{line}; unexpected: {odd}" if odd else f"{line}, as expected", soft_wrap=True)


def _print_calls(console: Console, report: Mapping[str, JSON]) -> None:
    """Print how the attempts ended, and the shares of their calls."""
    if "calls" not in report:
        return
    calls, ends = report["calls"], report["rollout_status"]
    ended = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in ends.items())
    console.print(f"attempts: {ended}")
    named = {"executed without an error": calls["executed_without_error"], "malformed": calls["malformed"]}
    shares = ", ".join(f"{name} {_share(rate)}" for name, rate in named.items() if rate)
    console.print(f"calls: {calls['steps']}; {shares}" if shares else "calls: none", soft_wrap=True)
    if first := calls["first_call"]:
        shares = f"structured reward {first['structured']:.3f}, equal {_share(first['exact'])}"
        console.print(f"first call against the expert's: {shares}", soft_wrap=True)


def _share(rate: Mapping[str, JSON]) -> str:
    return f"{rate['mean']:.1%} ({rate['low']:.1%} to {rate['high']:.1%})"


def _print_math(console: Console, report: Mapping[str, JSON]) -> None:
    """Print the accuracy of the greedy answers and of the sampled ones, and the other buckets."""
    rate, total = report["resolved_rate"], report["total_instances"]
    text = (
        f"{report['model_name_or_path']}: {report['first_answer']} {rate['mean']:.1%} (95 % interval "
        f"{rate['low']:.1%} to {rate['high']:.1%}, {rate['successes']} of {total} problems)"
    )
    console.print(text, markup=False, soft_wrap=True)
    if "avg_at_k" in report:
        average, k = report["avg_at_k"], report["samples"]
        ends = "no interval" if average["low"] is None else f"{average['low']:.1%} to {average['high']:.1%}"
        console.print(f"avg@{k} {average['mean']:.1%} (95 % interval over problems and samples {ends})")
        console.print(", ".join(f"pass@{n} {value:.1%}" for n, value in report["pass_at_k"].items()))
    for key in ("no_answer", "infra_failure", "policy_failure", "incomplete"):
        if count := report[f"{key}_instances"]:
            console.print(f"{key.replace('_', ' ')}: {count} of {total}")
        if count := report.get("sampled_buckets", {}).get(key):
            console.print(f"{key.replace('_', ' ')}, sampled: {count} of {total * report['samples']} answers")


def print_comparison(comparison: Mapping[str, JSON], path: Path) -> None:
    """Print the rates of several evaluations, and the difference of each pair."""
    console = Console(highlight=False)
    for name, rate in comparison["runs"].items():
        ends = f"{rate['low']:.1%} to {rate['high']:.1%}, {rate['successes']} of {rate['n']}"
        text = f"{name} ({rate['model_name_or_path']}): resolved {rate['mean']:.1%} ({ends})"
        console.print(text, markup=False, soft_wrap=True)
    for pair in comparison["differences"]:
        console.print(
            f"{pair['second']} against {pair['first']}: {pair['verdict']} "
            f"({pair['only_second']} tasks solved by the former only, {pair['only_first']} by the latter only, of "
            f"{pair['n']} that both verified; exact McNemar test, {p_words(pair['p_value'])})",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"report: {path}", soft_wrap=True)
