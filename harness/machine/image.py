"""Build an instance image on this machine."""

from collections.abc import Sequence
from pathlib import Path

from environments.failures import EnvironmentFailure
from environments.images.base import base_image
from environments.images.checkout import BuildError, image_from_checkout
from harness.cli import UsageError, user_errors
from harness.console import Console


def build_image(checkout: Path, commit: str, *, image: str, base: str | None, setup: Sequence[str]) -> None:
    """Build ``image`` from a git checkout at ``commit`` and print its name. Raises UserError.

    ``base`` is the image to start from, None our own; ``setup`` are commands that run in it, trusted.
    """
    if not checkout.is_dir():
        raise UsageError(f"{checkout}: no such folder")
    log = Console().info
    with user_errors(BuildError, EnvironmentFailure):
        base = base or base_image(log)
        found = image_from_checkout(checkout, commit, image=image, base=base, setup=setup, log=log)
    print(f"{image}: {checkout} at {found}")
