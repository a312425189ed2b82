"""Convert trajectories of any known format into one store or into rows, and report what was dropped and why."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from environments.math.answers import last_box
from environments.math.verifier import MathVerifier
from harness.cli import UsageError, UserError
from harness.config.load import load_recipe
from harness.console import table_console
from harness.data.card import Card, card_path
from harness.data.filters import make_filters
from harness.data.trl_rows import prompt_completion
from harness.jsonl import write_json
from trajectories import Trajectory
from trajectories.filters.pipeline import FilterPipeline
from trajectories.ledger import Ledger, Totals
from trajectories.readers.pipeline import read_trajectories_of
from trajectories.sources.documents import find_files
from trajectories.store import atomic_write
from trajectories.writers import WRITERS, Writer

MEGABYTE = 2**20
_SOLUTIONS = frozenset({"math", "s1k"})  # formats whose trajectories are solutions of problems
PROMPTS = "trl-prompt-completion"  # the output with the prompts of a recipe


def convert_files(options: argparse.Namespace, *, recipe: str | None, command: Sequence[str]) -> None:
    """Convert by the options of ``harness.convert``. Raises UserError.

    ``recipe``: the recipe of the prompts. ``command``: the command's words, for the card.
    """
    out: Path = options.out
    ledger_path: Path = options.ledger or out.with_name("ledger.json")
    _check_targets([out, ledger_path, *([card_path(out)] if options.card else [])], options.force)
    try:
        files = find_files(options.paths, exclude=(out, ledger_path, card_path(out)))
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    if not files:
        raise UserError(f"no files in {', '.join(map(str, options.paths))}")
    writer = _writer(options.to, recipe)
    pipeline, filters = make_filters(options.filters, options.licence)
    card = Card(paths=options.paths, written_as=options.to, filters=filters)
    ledger = Ledger()
    started = time.monotonic()
    rows = _convert(files, options, ledger, ledger_path, writer, pipeline, card)
    if options.card:
        card.write(out, ledger, rows=rows, command=command)
    table_console().print(summary(ledger))
    total = ledger.total()
    as_rows = "" if options.to == "store" else f" as {rows} rows ({options.to})"
    print(
        f"{total.trajectories.kept} trajectories, {total.steps.kept} steps{as_rows} -> {out}   "
        f"ledger -> {ledger_path}"
    )
    print(f"{time.monotonic() - started:.1f} s")


def _check_targets(written: Sequence[Path], force: bool) -> None:
    if len({path.absolute() for path in written}) < len(written):
        raise UsageError(f"two of these are the same file: {', '.join(map(str, written))}")
    for path in written:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a file")
        if path.exists() and not force:
            raise UsageError(f"{path} exists; overwrite it with --force, or choose another name")


def _writer(name: str, recipe: str | None) -> Writer:
    """Return the writer of an output format. Raises UserError."""
    if name != PROMPTS:
        if recipe is not None:
            raise UsageError(f"--recipe is for --to {PROMPTS}; {name} has no prompts")
        return WRITERS[name]
    return prompt_completion(load_recipe(recipe or "demo"))


def _convert(
    files: Sequence[Path],
    options: argparse.Namespace,
    ledger: Ledger,
    ledger_path: Path,
    writer: Writer,
    pipeline: FilterPipeline,
    card: Card,
) -> int:
    """Write the store and its ledger, count what is kept for the card, and return the number of rows.

    Raises UserError if no row is left; only the ledger is written then.
    """
    out: Path = options.out
    format_name = None if options.format == "auto" else options.format
    limit = options.max_mb * MEGABYTE
    rows, left_out = 0, Counter[str]()
    answers = AnswerCheck(verifier=MathVerifier())
    try:
        with atomic_write(out) as store, _progress(files) as on_bytes, answers.verifier:
            for trajectory, account in read_trajectories_of(
                files, ledger, format_name=format_name, limit=limit, named=options.paths, on_bytes=on_bytes
            ):
                kept = pipeline.apply(answers.check(trajectory), account)
                if kept is None:
                    continue
                card.add(kept)
                for row in writer(kept, left_out):
                    # ASCII only: lone surrogates of broken sources survive.
                    store.write(json.dumps(row) + "\n")
                    rows += 1
            if not rows:
                raise _NothingLeft
    except _NothingLeft:
        write_ledger(ledger, ledger_path, {"became_no_row": left_out})
        what = "row" if ledger.total().trajectories.kept else "trajectory"
        raise UserError(
            f"no {what} is left of {len(files)} files{_reasons(ledger)}{_listed(left_out)}\nledger: {ledger_path}"
        ) from None
    except OSError as error:
        error.filename = error.filename or str(out)  # a full disk names no file
        raise
    write_ledger(ledger, ledger_path, {"answers_checked": answers.counts, "became_no_row": left_out})
    if answers.counts:
        print("answers checked: " + ", ".join(f"{n} {what}" for what, n in answers.counts.most_common()))
    if left_out := +left_out:
        print(f"became no row:{_listed(left_out)}")
    return rows


def _listed(counts: Counter[str]) -> str:
    return "".join(f"\n  {what}: {n}" for what, n in counts.most_common() if n)


class _NothingLeft(Exception):
    """No row is left: the store is not written."""


@dataclass(frozen=True, kw_only=True)
class AnswerCheck:
    """Verifies the last boxed answer of solutions that are not graded yet."""

    verifier: MathVerifier
    counts: Counter[str] = field(default_factory=Counter)  # of verdicts

    def check(self, trajectory: Trajectory) -> Trajectory:
        """Return the trajectory with ``resolved`` set, if it is a boxed solution with a known right answer."""
        answer = trajectory.metadata.get("answer")
        if trajectory.source not in _SOLUTIONS or trajectory.resolved is not None or not answer:
            return trajectory
        actions = (action for step in trajectory.steps for action in step.actions)
        text = "\n".join(str(action.arguments.get("text", "")) for action in actions)
        if last_box(text) is None:
            self.counts["no_box"] += 1
            return trajectory
        verdict = self.verifier.verify(text, str(answer))
        self.counts[verdict.reason] += 1
        return replace(trajectory, resolved=verdict.resolved)


def write_ledger(ledger: Ledger, path: Path, accounts: Mapping[str, Counter[str]]) -> None:
    """Write the ledger with further counts (``accounts``) by name; empty ones are skipped."""
    beside = {name: dict(sorted((+counts).items())) for name, counts in accounts.items() if +counts}
    write_json(path, ledger.to_json() | beside)


def _reasons(ledger: Ledger) -> str:
    """List the reasons, each with its first position."""
    lines = []
    for kind in ("skipped", "trajectories"):
        firsts: dict[str, str] = {}
        for file in ledger.files:
            for reason, positions in file.examples(kind).items():
                firsts.setdefault(reason, positions[0])
        lines += [f"\n  {reason}: {position}" for reason, position in firsts.items()]
    return ":" + "".join(lines[:10]) if lines else ""


@contextmanager
def _progress(files: Sequence[Path]) -> Iterator[Callable[[Path, int], None]]:
    """Show a progress bar in bytes over all files on stderr, nothing if that is not a terminal."""
    sizes = [path.stat().st_size if path.exists() else 0 for path in files]  # a hub data set has no size
    before = dict(zip(files, accumulate(sizes, initial=0), strict=False))
    console = Console(stderr=True)
    what = TextColumn("{task.description}", markup=False)
    columns = (what, BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("reading", total=sum(sizes))
        yield lambda path, position: progress.update(
            task, completed=before[path] + position, description=path.name[-40:]
        )


def summary(ledger: Ledger) -> Table:
    """Return a table by format: files, trajectories and steps read and kept, and why the others were dropped."""
    table = Table()
    table.add_column("format", no_wrap=True)
    for name in ("files", "trajectories read", "kept", "steps read", "kept"):
        table.add_column(name, justify="right", min_width=5, overflow="fold")
    table.add_column("dropped, and why", overflow="fold")
    by_format = ledger.by_format()
    for name, totals in by_format.items():
        files = {file.path for file in ledger.files if (file.format_name or "-") == name}
        _add_row(table, name, len(files), totals, _losses(totals))
    if len(by_format) > 1:
        _add_row(table, "all", len({file.path for file in ledger.files}), ledger.total(), [])
    return table


def _losses(totals: Totals) -> list[str]:
    return [
        f"{count} {kind}: {reason}"
        for kind, counts in (
            ("trajectories", totals.trajectories.dropped),
            ("steps", totals.steps.dropped),
            ("files not read", totals.skipped),
        )
        for reason, count in counts.most_common()
    ]


def _add_row(table: Table, name: str, files: int, totals: Totals, losses: Sequence[str]) -> None:
    counts = (totals.trajectories.read, totals.trajectories.kept, totals.steps.read, totals.steps.kept)
    table.add_row(name, str(files), *map(str, counts), "\n".join(losses))
