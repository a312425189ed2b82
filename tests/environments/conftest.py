"""A container engine and a small image, or a loud skip."""

import pytest

from environments.engine import connect
from environments.failures import EnvironmentFailure
from environments.images.base import base_image


@pytest.fixture(scope="session")
def image() -> str:
    """The base image: Debian with Python, pytest, git and patch."""
    try:
        connect()
        return base_image()
    except EnvironmentFailure as error:
        pytest.skip(f"container tests need an engine and a base image: {error}")
