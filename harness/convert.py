"""Convert trajectories of any known format into one store, or into rows: ``harness.convert PATH… --out FILE``.

``python -m harness.convert STORE --stats`` (``--sample``, ``--validate``) inspects one: :mod:`harness.data.inspection`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli import positive, run
from harness.data.conversion import MEGABYTE, PROMPTS, convert_files
from harness.data.explain import explain_files
from harness.data.inspection import command
from trajectories.readers.detect import FORMAT_NAMES
from trajectories.sources.documents import DEFAULT_LIMIT
from trajectories.writers import WRITERS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises UserError."""
    options = _parser().parse_args(arguments)
    command.check_options(options)
    if options.explain and options.out is None:
        return explain_files(options)
    if options.out is None:
        return command.inspect(options, command.store_named(options))
    recipe = None if command.is_asked_for(options) else options.recipe
    convert_files(options, recipe=recipe, command=sys.argv[1:] if arguments is None else arguments)
    return command.inspect(options, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.convert",
        description="Convert expert trajectories into one JSON Lines store, or into rows of another format, and "
        "report what was dropped and why.",
        epilog=f"Formats: {', '.join(FORMAT_NAMES)}. Files may be .json, .jsonl or .traj, each also .gz, .xz, "
        ".bz2 or .zst, .parquet, .eval, folders of these, .tar and .zip archives, and data sets of the hub "
        "(hf:owner/name@split). "
        "Exit code: 0; 1 if nothing is left, or --validate finds a violation; 2 for wrong arguments.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="files, folders, archives, hf:owner/name; without --out one store to inspect",
    )
    _add_arguments_of_writing(parser)
    _add_arguments_of_reading(parser)
    command.add_inspection_arguments(parser)
    return parser


def _add_arguments_of_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", default="auto", choices=("auto", *FORMAT_NAMES), help="default: detected from content"
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print what each file is read as, and by which structure; without --out nothing is written",
    )
    parser.add_argument(
        "--task-from",
        type=Path,
        metavar="PATH",
        help="tasks of logs without a prompt: rows with instance_id and problem_statement, or a folder of texts "
        "named by the instance, the log or its folder",
    )
    parser.add_argument(
        "--max-mb",
        type=positive,
        default=DEFAULT_LIMIT // MEGABYTE,
        metavar="N",
        help="drop lines and documents larger than this (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="processes that read; the output does not depend on it (default: one a CPU, up to 8, for large inputs)",
    )


def _add_arguments_of_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the store to write (JSON Lines); a new folder with --to pi"
    )
    parser.add_argument(
        "--to", default="store", choices=(*WRITERS, PROMPTS), help="output format (default: %(default)s)"
    )
    parser.add_argument(
        "--recipe", metavar="NAME", help=f"prompts and action format for {PROMPTS}, --sample and --validate"
    )
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="default: ledger.json beside --out")
    parser.add_argument(
        "--filters", metavar="FILE", help="drop, mark and redact by these filters; `clean` is built in"
    )
    parser.add_argument(
        "--ids",
        type=Path,
        metavar="FILE",
        help="keep only the trajectories of these ids, one a line; missing and other ids are reported",
    )
    parser.add_argument(
        "--licence", metavar="NAME", help="licence of the data, for metadata.licence of each row"
    )
    parser.add_argument(
        "--card",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="describe the data set in NAME.card.md beside --out (default: yes)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite --out, the ledger and the card")


if __name__ == "__main__":
    sys.exit(run(main))
