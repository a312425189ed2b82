"""Convert trajectories of any known format into one store or into rows, and report what was dropped and why."""

import argparse
import gc
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from environments.math.verifier import MathVerifier
from harness.cli import UsageError, UserError, user_errors
from harness.config.load import load_recipe
from harness.console import table_console
from harness.data.card import Card, card_path
from harness.data.converted import Converter, Output
from harness.data.explain import explanation
from harness.data.filters import make_filters
from harness.data.outputs import FOLDERS, check_new_folder, open_output
from harness.data.parallel import convert_alone, convert_parallel
from harness.data.trl_rows import prompt_completion
from harness.data.workers import default_workers
from harness.jsonl import write_json
from trajectories.filters.pipeline import FilterPipeline
from trajectories.ledger import Ledger, Totals
from trajectories.readers.pipeline import Session
from trajectories.readers.plan import plan, size_of
from trajectories.readers.sessions.without_prompt import TASK_IS_THE_NAME
from trajectories.sources.parts import Part
from trajectories.sources.paths import find_files
from trajectories.sources.tasks import read_tasks
from trajectories.store import StoreError
from trajectories.writers import WRITERS, Writer

MEGABYTE = 2**20
_REFRESH = 0.1  # seconds between two updates of the progress bar
_PAYS = 16 * MEGABYTE  # of input, from which on several processes are faster
PROMPTS = "trl-prompt-completion"  # the output with the prompts of a recipe
_NOTHING_LEFT = "nothing_left"  # true in the ledger of a conversion without an output


def convert_files(options: argparse.Namespace, *, recipe: str | None, command: Sequence[str]) -> None:
    """Convert by the options of ``harness.convert``. Raises UserError.

    ``recipe``: the recipe of the prompts. ``command``: the command's words, for the card.
    """
    out: Path = options.out
    ledger_path: Path = options.ledger or out.with_name("ledger.json")
    if options.to in FOLDERS:
        check_new_folder(out)
    written = [ledger_path, *([card_path(out)] if options.card else [])]
    _check_targets(written if options.to in FOLDERS else [out, *written], options.force)
    try:
        files = find_files(
            options.paths,
            exclude=(out, ledger_path, failed_path(ledger_path), card_path(out), *_named(options.task_from)),
        )
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    if not files:
        raise UserError(f"no files in {', '.join(map(str, options.paths))}")
    tasks = _tasks(options.task_from)
    writer = _writer(options.to, recipe, options.paths)
    pipeline, filters = make_filters(options.filters, options.licence, options.ids)
    card = Card(paths=options.paths, written_as=options.to, filters=filters)
    ledger = Ledger()
    started = time.monotonic()
    rows, digest = _convert(files, options, tasks, ledger, ledger_path, writer, pipeline, card)
    if options.card:
        card.write(out, ledger, rows=rows, digest=digest, command=command)
    if options.explain:
        table_console().print(explanation(ledger))
    table_console().print(summary(ledger))
    total = ledger.total()
    if named := total.notes[TASK_IS_THE_NAME]:
        print(f"{named} trajectories have their name for a task; give their tasks with --task-from")
    as_rows = "" if options.to == "store" else f" as {rows} rows ({options.to})"
    print(
        f"{total.trajectories.kept} trajectories, {total.steps.kept} steps{as_rows} -> {out}   "
        f"ledger -> {ledger_path}"
    )
    print(f"{time.monotonic() - started:.1f} s")


def failed_path(ledger: Path) -> Path:
    """Return where the ledger of a conversion that left nothing is if there is one of a store that stays."""
    return ledger.with_name(f"{ledger.stem}.failed{ledger.suffix}")


def _left_nothing(ledger: Path) -> bool:
    """Return whether a file is the ledger of a conversion that left nothing: the next one replaces it."""
    try:
        table = json.loads(ledger.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(table, dict) and table.get(_NOTHING_LEFT) is True


def _check_targets(written: Sequence[Path], force: bool) -> None:
    if len({path.absolute() for path in written}) < len(written):
        raise UsageError(f"two of these are the same file: {', '.join(map(str, written))}")
    for path in written:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a file")
        if path.exists() and not force and not _left_nothing(path):
            raise UsageError(f"{path} exists; overwrite it with --force, or choose another name")


def _named(path: Path | None) -> tuple[Path, ...]:
    return () if path is None else (path,)


def _tasks(path: Path | None) -> Mapping[str, str]:
    """Return the tasks of ``--task-from`` by instance id. Raises UsageError."""
    if path is None:
        return {}
    try:
        return read_tasks(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--task-from: {error}") from error


def _writer(name: str, recipe: str | None, paths: Sequence[Path]) -> Writer:
    """Return the writer of an output format. Raises UserError."""
    if name != PROMPTS:
        if recipe is not None:
            raise UsageError(f"--recipe is for --to {PROMPTS}; {name} has no prompts")
        return WRITERS[name]
    store = paths[0] if len(paths) == 1 and paths[0].is_file() else None
    about = "actions.tools: auto lists the tools that a whole store calls, and this is none"
    with user_errors(StoreError, about=about, usage=True):
        return prompt_completion(load_recipe(recipe or "demo"), store)


def _convert(
    files: Sequence[Path],
    options: argparse.Namespace,
    tasks: Mapping[str, str],
    ledger: Ledger,
    ledger_path: Path,
    writer: Writer,
    pipeline: FilterPipeline,
    card: Card,
) -> tuple[int, str]:
    """Write the store and its ledger, count what is kept for the card, and return the number of rows and their SHA-256.

    Raises UserError if no row is left; only the ledger is written then.
    """
    out: Path = options.out
    found = None
    try:
        with open_output(out, options.to) as target, MathVerifier() as verifier:
            found = Output(target.write, pipeline=pipeline, card=card)
            converter = Converter(writer=writer, pipeline=pipeline, verifier=verifier)
            _read(files, options, tasks, ledger, converter, found)
            if not found.rows:
                raise _NothingLeft
    except _NothingLeft:
        left_out = found.left_out if found else Counter[str]()
        if ledger_path.exists() and not _left_nothing(ledger_path):
            ledger_path = failed_path(ledger_path)
        write_ledger(
            ledger, ledger_path, {"became_no_row": left_out} | pipeline.accounts(), nothing_left=True
        )
        what = "row" if ledger.total().trajectories.kept else "trajectory"
        raise UserError(
            f"no {what} is left of {len(files)} files{_reasons(ledger)}{_listed(left_out)}\n"
            + "".join(f"{ids}\n" for ids in pipeline.ids)
            + f"ledger: {ledger_path}"
        ) from None
    except OSError as error:
        error.filename = error.filename or str(out)  # a full disk names no file
        raise
    failed_path(ledger_path).unlink(missing_ok=True)
    beside = {"answers_checked": found.verdicts, "became_no_row": found.left_out}
    write_ledger(ledger, ledger_path, beside | pipeline.accounts())
    for ids in pipeline.ids:
        print(ids)
    if found.verdicts:
        print("answers checked: " + ", ".join(f"{n} {what}" for what, n in found.verdicts.most_common()))
    if left_out := +found.left_out:
        print(f"became no row:{_listed(left_out)}")
    return found.rows, target.digest


def _read(
    files: Sequence[Path],
    options: argparse.Namespace,
    tasks: Mapping[str, str],
    ledger: Ledger,
    converter: Converter,
    output: Output,
) -> None:
    """Read and convert the files, by several processes if that pays."""
    format_name = None if options.format == "auto" else options.format
    limit = options.max_mb * MEGABYTE
    is_large = sum(map(size_of, files)) >= _PAYS
    workers = options.workers or (default_workers() if is_large else 1)
    with _progress(files) as on_bytes, _without_collection():
        session = partial(
            Session,
            format_name=format_name,
            limit=limit,
            named=options.paths,
            tasks=tasks,
            on_bytes=on_bytes,
        )
        if workers == 1:
            parts = (Part(files=(path,)) for path in files)
            convert_alone(parts, session(ledger), converter, output)
            return
        convert_parallel(
            plan(files, format_name=format_name, limit=limit),
            workers=workers,
            beside=options.out,
            session=session,
            ledger=ledger,
            converter=converter,
            output=output,
        )


@contextmanager
def _without_collection() -> Iterator[None]:
    """Collect no garbage: documents are trees, which need none, and a search through a large one takes long."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _listed(counts: Counter[str]) -> str:
    return "".join(f"\n  {what}: {n}" for what, n in counts.most_common() if n)


class _NothingLeft(Exception):
    """No row is left: the store is not written."""


def write_ledger(
    ledger: Ledger, path: Path, accounts: Mapping[str, Counter[str]], *, nothing_left: bool = False
) -> None:
    """Write the ledger with further counts (``accounts``) by name; empty ones are skipped."""
    mark = {_NOTHING_LEFT: True} if nothing_left else {}
    beside = {name: dict(sorted((+counts).items())) for name, counts in accounts.items() if +counts}
    write_json(path, ledger.to_json() | beside | mark)


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
    shown = time.monotonic()
    # Not refreshed by a thread: workers are forked.
    progress = Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True, auto_refresh=False
    )

    def report(path: Path, position: int) -> None:
        nonlocal shown
        if time.monotonic() > shown + _REFRESH:
            shown = time.monotonic()
            completed = before[path] + position
            progress.update(task, completed=completed, description=path.name[-40:], refresh=True)

    with progress:
        task = progress.add_task("reading", total=sum(sizes))
        yield report


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
