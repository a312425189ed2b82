"""``--stats``, ``--sample`` and ``--validate`` of ``harness.convert``."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.cli import UsageError, UserError, positive
from harness.console import table_console
from harness.jsonl import write_json
from srl_agent.formats import ActionFormat
from srl_agent.steps import StepSettings
from trajectories.sources.paths import find_files, is_candidate
from trajectories.store import beside, read_trajectories

_OF_A_CONVERSION = ("filters", "ids", "licence", "task_from", "workers")


def add_inspection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that inspect a store: the one written to ``--out``, without it PATH."""
    group = parser.add_argument_group("inspecting a store")
    group.add_argument(
        "--stats", action="store_true", help="figures: a table, STORE.stats.json and STORE.stats.png"
    )
    group.add_argument("--tokenizer", metavar="MODEL", help="--stats: also lengths in tokens")
    group.add_argument(
        "--sample",
        type=positive,
        metavar="N",
        help="print N trajectories; with --recipe N training rows as its policy sees them",
    )
    group.add_argument("--seed", type=int, default=0, help="for --sample (default: %(default)s)")
    group.add_argument(
        "--validate",
        action="store_true",
        help="check every row as rendered by --recipe (default: demo), and compare the store with its sources: PATH, "
        "or --source; exit code 1 if something is wrong",
    )
    group.add_argument(
        "--source",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="--validate of a store made earlier: the files that it was made of",
    )


def is_asked_for(options: argparse.Namespace) -> bool:
    return bool(options.stats or options.sample or options.validate)


def store_named(options: argparse.Namespace) -> Path:
    """Return the store to inspect. Raises UserError."""
    if not is_asked_for(options):
        raise UsageError(
            "--out is missing: the store to write (or look only: --explain for logs; --stats, --sample, --validate "
            "for a store)"
        )
    if options.force or options.format != "auto" or (options.ledger and not options.source):
        raise UsageError("--force, --ledger and --format are for a conversion: --out is missing")
    if len(options.paths) > 1 or not options.paths[0].is_file():
        named = ", ".join(map(str, options.paths))
        raise UsageError(f"{named}: inspection takes exactly one store file (--out writes one)")
    path: Path = options.paths[0]
    return path


def check_options(options: argparse.Namespace) -> None:
    """Raise UserError for an option that would have no effect."""
    if options.tokenizer and not options.stats:
        raise UsageError("--tokenizer is for --stats")
    if is_asked_for(options) and options.to != "store":
        raise UsageError(f"--stats, --sample and --validate inspect a store, not {options.to} rows")
    if options.explain and not options.out and is_asked_for(options):
        raise UsageError(
            "--explain reads logs, --stats, --sample and --validate a store: ask for one of them"
        )
    unused = [name for name in _OF_A_CONVERSION if getattr(options, name) and not options.out]
    if unused:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise UsageError(f"{named}: for a conversion, and --out is missing")
    if options.source and (options.out or not options.validate):
        raise UsageError("--source is for --validate without --out: a conversion knows its sources")
    if options.stats and options.recipe and not (options.sample or options.validate):
        raise UsageError("--recipe is for --sample and --validate; --stats takes none")


def inspect(options: argparse.Namespace, store: Path) -> int:
    """Run the inspections that the options ask for and return the exit code. Raises UserError, StoreError."""
    if options.stats:
        _stats(store, options.tokenizer)
    if options.sample:
        for text in _samples(store, options):
            print(f"{text}\n")
    if not options.validate:
        return 0
    wrong = _validate(store, options.recipe)
    sources = _sources(options, store)
    return max(wrong, _compare(store, sources, options)) if sources else wrong


def _stats(store: Path, tokenizer: str | None) -> None:
    from harness.data.inspection.chart import draw
    from harness.data.inspection.stats import collect, tables

    found = collect(read_trajectories(store), _token_counter(tokenizer) if tokenizer else None)
    if not found.total.trajectories:
        raise UserError(f"{store} holds no trajectory")
    table = {"store": str(store), "tokenizer": tokenizer, **found.as_table()}
    numbers, picture = beside(store, ".stats.json"), beside(store, ".stats.png")
    write_json(numbers, table)
    draw(found.total, picture)
    console = table_console()
    total = found.total
    console.print(
        f"{total.trajectories:,} trajectories ({total.resolved['yes']:,} resolved, {total.resolved['no']:,} not, "
        f"{total.resolved['unknown']:,} not judged; {total.with_patch:,} with a patch), {sum(total.steps):,} steps, "
        f"{total.calls:,} calls",
        soft_wrap=True,
    )
    console.print(
        f"{total.reasoned:,} steps with reasoning; {total.without_thought:,} of {total.targets:,} steps that may be "
        "targets have no thought that a format can write",
        soft_wrap=True,
    )
    for part in tables(found):
        console.print(part)
    print(f"figures -> {numbers}   picture -> {picture}")


def _token_counter(name: str) -> Callable[[Sequence[str]], Sequence[int]]:
    """Return a function that counts the tokens of texts. Raises UserError."""
    from srl_agent.models.load import load_tokenizer
    from srl_agent.models.packaged import ModelError, resolve_model

    try:
        tokenizer = load_tokenizer(resolve_model(name))
    except (ModelError, OSError) as error:
        raise UsageError(f"--tokenizer {name}: {' '.join(str(error).split())[:200]}") from error

    def count(texts: Sequence[str]) -> list[int]:
        # Tokenizers refuse lone surrogates.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return [len(ids) for ids in tokenizer(clean, add_special_tokens=False)["input_ids"]] if clean else []

    return count


def _samples(store: Path, options: argparse.Namespace) -> Iterator[str]:
    from harness.data.inspection.sample import sample_rows, sample_trajectories

    if options.recipe is None:
        return sample_trajectories(store, options.sample, options.seed)
    settings, action_format = _rendering(options.recipe, store)
    return sample_rows(store, options.sample, options.seed, settings=settings, action_format=action_format)


def _rendering(recipe_name: str, store: Path) -> tuple[StepSettings, ActionFormat]:
    """Return how a recipe renders steps of a store. Raises UserError."""
    from harness.config.load import load_recipe
    from harness.data.step_data import make_format, step_settings

    recipe = load_recipe(recipe_name)
    return step_settings(recipe), make_format(recipe, store)


def _sources(options: argparse.Namespace, store: Path) -> list[Path]:
    """Return the files that the store was made of, none if they are not named. Raises UserError."""
    named = options.paths if options.out else options.source
    try:
        files = find_files(named, exclude=(store, _ledger(options, store), beside(store, ".card.md")))
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    found = [path for path in files if path in named or is_candidate(path.name)]
    if options.source and not found:
        raise UsageError(f"--source: no file besides the store in {', '.join(map(str, options.source))}")
    return found


def _ledger(options: argparse.Namespace, store: Path) -> Path:
    path: Path = options.ledger or store.with_name("ledger.json")
    return path


def _compare(store: Path, sources: Sequence[Path], options: argparse.Namespace) -> int:
    """Print how the store differs from its sources, and return the exit code. Raises UserError."""
    from harness.data.inspection.source_check import EXAMPLES, MEASURES, SOURCE_CHECKS, compare

    ledger = _ledger(options, store)
    if not ledger.is_file():
        print(f"no ledger ({ledger}): dropped turns cannot be told from lost ones")
    try:
        found = compare(
            store, sources, ledger=ledger if ledger.is_file() else None, limit=options.max_mb * 2**20
        )
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{ledger}: not a ledger of harness.convert: {error}") from error
    print(
        f"sources: {found.units} runs with calls, {found.matched} trajectories found in them, "
        f"{found.explained} calls in turns that were dropped for a reason"
    )
    for name in MEASURES:
        of, kept = (
            f"{n[name]:,} ({n[f'{name}, characters']:,} characters)" for n in (found.source, found.kept)
        )
        print(f"        {name}: {of} in the sources, {kept} kept")
    for check, rule in SOURCE_CHECKS.items():
        wrong, warned = found.of(check, violation=True), found.of(check, violation=False)
        print(f"{len(wrong) or 'ok':>6}  {check}: {rule}{f' ({len(warned)} warnings)' if warned else ''}")
        for mark, differences in (("", wrong), ("warning: ", warned)):
            for difference in differences[:EXAMPLES]:
                print(f"          {mark}{difference.where}: {difference.detail}")
    return int(any(difference.violation for difference in found.differences))


def _validate(store: Path, named: str | None) -> int:
    from harness.data.inspection.validate import CHECKS, describe_calls, validate

    recipe_name = named or "demo"
    settings, action_format = _rendering(recipe_name, store)
    found = validate(store, settings=settings, action_format=action_format)
    print(
        f"{store} as {action_format.name} ({recipe_name}): {found.trajectories} trajectories, "
        f"{found.steps} steps, {found.actions} with an action ({found.unwritable} not representable), "
        f"{found.rows} training rows"
    )
    for check, rule in CHECKS.items():
        count = found.violations[check]
        print(f"{count or 'ok':>6}  {check}: {rule}")
        for violation in found.examples.get(check, ()):
            print(f"          {violation.where}: {violation.detail}")
    print(describe_calls(found, action_format, compare=named is not None))
    return 1 if found.violations else 0
