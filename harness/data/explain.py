"""Say what each file was read as, and by which structure its format was recognised: ``harness.convert --explain``."""

import argparse
from collections import Counter
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from harness.cli import UsageError, UserError
from harness.console import table_console
from trajectories.ledger import Ledger
from trajectories.readers.pipeline import Session
from trajectories.sources.parts import Part
from trajectories.sources.paths import find_files

_SHOWN = 3  # examples of a kind of file


def explain_files(options: argparse.Namespace) -> int:
    """Read the paths, write nothing, print the explanation, and return the exit code. Raises UserError."""
    try:
        files = find_files(options.paths)
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    ledger = Ledger()
    session = Session(
        ledger,
        format_name=None if options.format == "auto" else options.format,
        limit=options.max_mb * 2**20,
        named=options.paths,
    )
    for _ in session.read(Part(files=(path,)) for path in files):
        pass
    table_console().print(explanation(ledger))
    if not ledger.total().trajectories.kept:
        raise UserError("no trajectory was found; the table says why")
    return 0


def explanation(ledger: Ledger) -> Table:
    """Return a table: format, structure that it was recognised by, documents, and where; or why a file was not read."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for file in ledger.files:
        for why, times in file.recognised_by.items():
            found.setdefault((file.format_name or "-", why), Counter())[file.path] += times
        if file.format_name and not file.recognised_by:
            found.setdefault((file.format_name, "named by --format"), Counter())[file.path] += 1
        for reason in file.skipped:
            for position in file.examples("skipped").get(reason, ()):
                found.setdefault(("-", reason), Counter())[position] += 1
    table = Table()
    table.add_column("format", no_wrap=True)
    table.add_column("recognised by, or why not read", overflow="fold")
    table.add_column("documents", justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for (name, why), places in sorted(found.items()):
        table.add_row(name, Text(why), str(places.total()), Text(_examples(places)))
    return table


def _examples(places: Iterable[str]) -> str:
    named = list(places)
    more = len(named) - _SHOWN
    return "\n".join(named[:_SHOWN]) + (f"\n… and {more} more" if more > 0 else "")
