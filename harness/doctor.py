"""Check this machine: ``python -m harness.doctor`` says what works, what is missing, and how to fix it."""

import argparse
import sys
from collections.abc import Sequence

from harness.cli import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises UserError."""
    options = _parser().parse_args(arguments)
    from harness.machine import doctor

    return doctor.remove_leftovers() if options.clean else doctor.report(as_json=options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.doctor",
        description="Say what works on this machine, what is missing and the command that fixes it. "
        "Exit code 0: everything that `python -m harness.train` needs works; 1: something does not.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--clean", action="store_true", help="only remove containers left by dead runs")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
