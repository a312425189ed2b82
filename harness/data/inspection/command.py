"""``--stats``, ``--sample`` and ``--validate`` of ``harness.convert``: what to look at, and how it is told."""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.cli import UserError, positive
from harness.console import table_console
from trajectories.store import atomic_write, beside, read_trajectories


def add_inspection_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that look into a store; without ``--out`` PATH is one, with it they look into what was written."""
    group = parser.add_argument_group("looking into a store")
    group.add_argument(
        "--stats", action="store_true", help="figures: a table, STORE.stats.json and STORE.stats.png"
    )
    group.add_argument("--tokenizer", metavar="MODEL", help="--stats: lengths in its tokens, too")
    group.add_argument(
        "--sample",
        type=positive,
        metavar="N",
        help="print N trajectories; with --recipe N training rows as its policy sees them",
    )
    group.add_argument("--seed", type=int, default=0, help="of --sample (default: %(default)s)")
    group.add_argument(
        "--validate",
        action="store_true",
        help="check every row as --recipe (default: demo) makes it; exit code 1 if one is wrong",
    )


def is_asked_for(options: argparse.Namespace) -> bool:
    return bool(options.stats or options.sample or options.validate)


def store_named(options: argparse.Namespace) -> Path:
    """The one store that is looked into. Raises UserError."""
    if not is_asked_for(options):
        raise UserError(
            "--out is missing: the store to write (or look into a store: --stats, --sample, --validate)",
            exit_code=2,
        )
    if options.force or options.ledger or options.format != "auto":
        raise UserError("--force, --ledger and --format are for a conversion: --out is missing", exit_code=2)
    if len(options.paths) > 1 or not options.paths[0].is_file():
        named = ", ".join(map(str, options.paths))
        raise UserError(
            f"{named}: not one file; what is looked into is one store (--out writes one)", exit_code=2
        )
    path: Path = options.paths[0]
    return path


def check_options(options: argparse.Namespace) -> None:
    """Raises UserError for an option that would have no effect."""
    if options.tokenizer and not options.stats:
        raise UserError("--tokenizer is for --stats", exit_code=2)
    if is_asked_for(options) and options.to != "store":
        raise UserError(
            f"--stats, --sample and --validate look into a store, not into {options.to} rows", exit_code=2
        )
    if options.stats and options.recipe and not (options.sample or options.validate):
        raise UserError("--recipe is for --sample and --validate; figures have none", exit_code=2)


def inspect(options: argparse.Namespace, store: Path) -> int:
    """What the options ask for; the exit code. Raises UserError, StoreError."""
    if options.stats:
        _stats(store, options.tokenizer)
    if options.sample:
        for text in _samples(store, options):
            print(f"{text}\n")
    return _validate(store, options.recipe or "demo") if options.validate else 0


def _stats(store: Path, tokenizer: str | None) -> None:
    from harness.data.inspection.chart import draw
    from harness.data.inspection.stats import collect, tables

    found = collect(read_trajectories(store), _token_counter(tokenizer) if tokenizer else None)
    if not found.total.trajectories:
        raise UserError(f"{store} holds no trajectory")
    table = {"store": str(store), "tokenizer": tokenizer, **found.as_table()}
    numbers, picture = beside(store, ".stats.json"), beside(store, ".stats.png")
    with atomic_write(numbers) as out:
        json.dump(table, out, indent=2)
        out.write("\n")
    draw(found.total, picture)
    console = table_console()
    total = found.total
    console.print(
        f"{total.trajectories:,} trajectories ({total.resolved['yes']:,} resolved, {total.resolved['no']:,} not, "
        f"{total.resolved['unknown']:,} not judged; {total.with_patch:,} with a patch), {sum(total.steps):,} steps, "
        f"{total.calls:,} calls",
        soft_wrap=True,
    )
    for part in tables(found):
        console.print(part)
    print(f"figures -> {numbers}   picture -> {picture}")


def _token_counter(name: str) -> Callable[[Sequence[str]], Sequence[int]]:
    """Raises UserError."""
    from srl_agent.models.load import load_tokenizer
    from srl_agent.models.packaged import ModelError, resolve_model

    try:
        tokenizer = load_tokenizer(resolve_model(name))
    except (ModelError, OSError) as error:
        raise UserError(f"--tokenizer {name}: {' '.join(str(error).split())[:200]}", exit_code=2) from error

    def count(texts: Sequence[str]) -> list[int]:
        # No tokenizer takes lone surrogates.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return [len(ids) for ids in tokenizer(clean, add_special_tokens=False)["input_ids"]] if clean else []

    return count


def _samples(store: Path, options: argparse.Namespace) -> Iterator[str]:
    from harness.data.inspection.sample import sample_rows, sample_trajectories

    if options.recipe is None:
        return sample_trajectories(store, options.sample, options.seed)
    return sample_rows(store, options.sample, options.seed, **_rendering(options.recipe))


def _rendering(recipe_name: str) -> dict[str, Any]:
    """How a recipe renders steps. Raises UserError."""
    from harness.config.load import load_recipe
    from harness.data.step_data import make_format, step_settings

    recipe = load_recipe(recipe_name)
    return {"settings": step_settings(recipe), "action_format": make_format(recipe)}


def _validate(store: Path, recipe_name: str) -> int:
    from harness.data.inspection.validate import CHECKS, validate

    rendering = _rendering(recipe_name)
    found = validate(store, **rendering)
    print(
        f"{store} as {rendering['action_format'].name} ({recipe_name}): {found.trajectories} trajectories, "
        f"{found.steps} steps, {found.actions} with an action ({found.unwritable} not representable), "
        f"{found.rows} training rows"
    )
    for check, promise in CHECKS.items():
        count = found.violations[check]
        print(f"{count or 'ok':>6}  {check}: {promise}")
        for violation in found.examples.get(check, ()):
            print(f"          {violation.where}: {violation.detail}")
    return 1 if found.violations else 0
