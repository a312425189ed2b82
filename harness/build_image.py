"""Build an instance image from a local git checkout: ``python -m harness.build_image CHECKOUT …``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli import UserError, run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.build_image",
        description="Build the image of a task from a local git checkout, for machines without a registry. "
        "The repository stands in /testbed, as in SWE-bench's images.",
    )
    parser.add_argument("checkout", type=Path, help="folder of the git repository")
    parser.add_argument("--commit", required=True, help="the task's base commit")
    parser.add_argument("--image", required=True, metavar="NAME:TAG", help="name of the image to make")
    parser.add_argument(
        "--base", metavar="NAME:TAG", help="image to start from (default: Debian with Python and pytest)"
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="COMMAND",
        help="set-up command, e.g. 'pip install -e .'; runs as root with a network; may be given several times",
    )
    options = parser.parse_args(arguments)
    from environments.failures import EnvironmentFailure
    from environments.images.base import base_image
    from environments.images.checkout import BuildError, image_from_checkout
    from harness.console import Teller

    teller = Teller()
    if not options.checkout.is_dir():
        raise UserError(f"{options.checkout}: no such folder", exit_code=2)
    try:
        commit = image_from_checkout(
            options.checkout,
            options.commit,
            image=options.image,
            base=options.base or base_image(teller.say),
            setup=options.run,
            say=teller.say,
        )
    except (BuildError, EnvironmentFailure) as error:
        raise UserError(str(error)) from error
    print(f"{options.image}: {options.checkout} at {commit}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
