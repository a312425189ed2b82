"""``python -m harness.report RUN [RUN …]``: write the report of a run, or compare several runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli import UsageError, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises UserError."""
    options = _parser().parse_args(arguments)
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out}: is a file, not a folder")
    from harness.evaluation.comparison import is_evaluation, report_evaluations
    from harness.reporting.write import report_runs

    if any(is_evaluation(folder) for folder in options.runs):
        report_evaluations(options.runs, options.out)
    else:
        report_runs(options.runs, options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.report",
        description="Write report.json and a self-contained report.html of a training run, "
        "or of several runs side by side; compare evaluations.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="folder of a run: outputs/<run>")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="where to write (default: the run's folder; for several runs, comparison/ beside the first)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
