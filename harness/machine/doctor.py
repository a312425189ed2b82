"""Print the checks of this machine, and remove the containers that dead runs have left."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from harness.machine.checks import Check, all_checks, remove_dead_containers

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red"}


def report(*, as_json: bool) -> int:
    """Print all checks as a table or one JSON object; return 0 if everything required works, else 1."""
    checks = all_checks()
    works = all(check.status != "missing" for check in checks if check.required)
    if as_json:
        table = {"schema_version": 2, "works": works, "checks": [asdict(check) for check in checks]}
        print(json.dumps(table, indent=2))
    else:
        _print_table(checks, works)
    return 0 if works else 1


def remove_leftovers() -> int:
    """Remove containers left by dead runs and print their names. Raises UserError if no engine answers."""
    removed = remove_dead_containers()
    for name in removed:
        print(f"removed {name}")
    print(f"{len(removed)} containers of dead runs removed")
    return 0


def _print_table(checks: Sequence[Check], works: bool) -> None:
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:  # a broken installation is what this command is for
        for check in checks:
            fix = f"   -> {check.fix}" if check.fix else ""
            print(f"{check.status:8} {check.name}: {check.found}{fix}")
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
    verdict = "can run here" if works else "cannot run here yet"
    console.print(f"\n`python -m harness.train` {verdict}.", style="bold")
