"""python -m harness.doctor: what works on this machine, what is missing, and the command that mends it."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.cli import run

if TYPE_CHECKING:
    from harness.doctor_checks import Check

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red"}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harness.doctor",
        description="Say what works on this machine, what is missing and the command that mends it. "
        "Exit code 0: everything that `python -m harness.train` needs works; 1: something does not.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args(arguments)
    from harness.doctor_checks import all_checks

    checks = all_checks()
    works = all(check.status != "missing" for check in checks if check.required)
    if options.json:
        print(
            json.dumps({"schema_version": 1, "works": works, "checks": [asdict(c) for c in checks]}, indent=2)
        )
    else:
        _print_table(checks, works)
    return 0 if works else 1


def _print_table(checks: Sequence["Check"], works: bool) -> None:
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:  # a broken installation is what this command is for
        for check in checks:
            print(
                f"{check.status:8} {check.name}: {check.found}",
                *([f"  -> {check.mend}"] if check.mend else []),
            )
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("", "what", "found", "to mend it"):
        table.add_column(column, overflow="fold")
    for check in checks:
        status = f"[{_COLOURS[check.status]}]{check.status}[/]"
        name = check.name if check.required else f"{check.name} (optional)"
        table.add_row(status, escape(name), escape(check.found), escape(check.mend or ""))
    console = Console()
    console.print(table)
    verdict = (
        "`python -m harness.train` can run here" if works else "`python -m harness.train` cannot run here yet"
    )
    console.print(f"\n{verdict}.", style="bold")


if __name__ == "__main__":
    sys.exit(run(main))
