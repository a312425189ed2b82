"""Check this machine: ``python -m harness.doctor`` says what works, what is missing, and how to fix it."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from harness.cli import run
from harness.machine.checks import Check, all_checks, remove_dead_containers

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.doctor",
        description="Say what works on this machine, what is missing and the command that fixes it. "
        "Exit code 0: everything that `python -m harness.train` needs works; 1: something does not.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--clean", action="store_true", help="remove containers left by dead runs, and nothing else"
    )
    options = parser.parse_args(arguments)
    if options.clean:
        removed = remove_dead_containers()
        for name in removed:
            print(f"removed {name}")
        print(f"{len(removed)} containers of dead runs removed")
        return 0
    checks = all_checks()
    works = all(check.status != "missing" for check in checks if check.required)
    if options.json:
        table = {"schema_version": 2, "works": works, "checks": [asdict(check) for check in checks]}
        print(json.dumps(table, indent=2))
    else:
        _print_table(checks, works)
    return 0 if works else 1


def _print_table(checks: Sequence[Check], works: bool) -> None:
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:  # a broken installation is what this command is for
        for check in checks:
            print(
                f"{check.status:8} {check.name}: {check.found}",
                *([f"  -> {check.fix}"] if check.fix else []),
            )
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("", "what", "found", "to fix it"):
        table.add_column(column, overflow="fold")
    for check in checks:
        status = f"[{_COLOURS[check.status]}]{check.status}[/]"
        name = check.name if check.required else f"{check.name} (optional)"
        table.add_row(status, escape(name), escape(check.found), escape(check.fix or ""))
    console = Console()
    console.print(table)
    verdict = (
        "`python -m harness.train` can run here" if works else "`python -m harness.train` cannot run here yet"
    )
    console.print(f"\n{verdict}.", style="bold")


if __name__ == "__main__":
    sys.exit(run(main))
