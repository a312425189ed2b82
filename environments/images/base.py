"""The base of the images that are built on this machine: Debian with Python, pytest, git and patch, nothing else."""

import io
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from environments.engine import connect, engine_errors
from environments.failures import EnvironmentFailure
from environments.images.instance import has_image

BASE_VERSION = "1"  # goes up when what is in it changes
BASE_IMAGE = f"srl-agent/base:{BASE_VERSION}"

_SUITE = "bookworm"
_PACKAGES = ("bash", "ca-certificates", "git", "patch", "python3", "python3-pytest")
_DOCKERFILE = f"""\
FROM debian:{_SUITE}-slim
RUN apt-get update && apt-get install -y --no-install-recommends {" ".join(_PACKAGES)} && rm -rf /var/lib/apt/lists/*
WORKDIR /testbed
"""
_building = threading.Lock()


def base_image(say: Callable[[str], None] = lambda text: None) -> str:
    """Its name; built if it is not there: from the registry's Debian, or without a registry by debootstrap.

    A minute either way. Raises EnvironmentFailure if neither can be done here.
    """
    with _building:
        if not has_image(BASE_IMAGE):
            say(f"building {BASE_IMAGE} (once, about a minute)")
            try:
                _from_registry()
            except EnvironmentFailure as error:
                _by_debootstrap(error)
    return BASE_IMAGE


def _from_registry() -> None:
    with engine_errors(f"building {BASE_IMAGE} from the registry's debian:{_SUITE}-slim"):
        connect().images.build(fileobj=io.BytesIO(_DOCKERFILE.encode()), tag=BASE_IMAGE, rm=True)


def _by_debootstrap(no_registry: EnvironmentFailure) -> None:
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None or os.geteuid() != 0:
        need = "run as root" if program else "apt-get install debootstrap"
        raise EnvironmentFailure(
            f"{no_registry}. Without a registry the base image is made by debootstrap, as root, on Debian: {need}"
        )
    with tempfile.TemporaryDirectory(prefix="srl-agent-base-") as folder:
        root = Path(folder) / "root"
        command = [program, "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(root)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise EnvironmentFailure(f"debootstrap failed: {(done.stderr or done.stdout).strip()[-500:]}")
        for cache in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / cache, ignore_errors=True)
        tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        assert tar.stdout is not None
        _import(tar.stdout)
        if tar.wait():
            raise EnvironmentFailure("the base image could not be packed (tar failed)")


def _import(tar: IO[bytes]) -> Any:
    name, _, tag = BASE_IMAGE.partition(":")
    with engine_errors(f"importing {BASE_IMAGE}"):
        return connect().api.import_image_from_stream(
            tar, repository=name, tag=tag, changes=["WORKDIR /testbed", 'CMD ["bash"]']
        )
