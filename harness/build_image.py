"""Build an instance image from a local git checkout: ``python -m harness.build_image CHECKOUT …``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Raises UserError."""
    options = _parser().parse_args(arguments)
    from harness.machine.image import build_image

    build_image(options.checkout, options.commit, image=options.image, base=options.base, setup=options.run)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.build_image",
        description="Build the image of a task from a local git checkout, for machines without a registry. "
        "The repository is in /testbed, as in SWE-bench's images.",
    )
    parser.add_argument("checkout", type=Path, help="folder of the git repository")
    parser.add_argument("--commit", required=True, help="the task's base commit")
    parser.add_argument("--image", required=True, metavar="NAME:TAG", help="name of the new image")
    parser.add_argument(
        "--base", metavar="NAME:TAG", help="image to start from (default: Debian with Python and pytest)"
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="COMMAND",
        help="setup command, e.g. 'pip install -e .'; runs as root with a network; may be given several times",
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
