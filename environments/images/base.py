"""The base image of images built on this machine: Debian with Python, pytest, git and patch, nothing else."""

import io
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from environments.failures import EnvironmentFailure
from environments.images.instance import has_image
from environments.sandbox.engine import connect, engine_errors

BASE_VERSION = "2"  # increased when the content changes
BASE_IMAGE = f"srl-agent/base:{BASE_VERSION}"

_SUITE = "bookworm"
# Agents call `python`, which SWE-bench's images have; Debian's python3 alone does not provide it.
_PACKAGES = ("bash", "ca-certificates", "git", "patch", "python3", "python-is-python3", "python3-pytest")
_DOCKERFILE = f"""\
FROM debian:{_SUITE}-slim
RUN apt-get update && apt-get install -y --no-install-recommends {" ".join(_PACKAGES)} && rm -rf /var/lib/apt/lists/*
WORKDIR /testbed
"""
_building = threading.Lock()


def base_image(log: Callable[[str], None] = lambda text: None) -> str:
    """Return the base image's name; build a missing one from the registry's Debian, or else by debootstrap.

    Building takes about a minute. Raises EnvironmentFailure if neither way works here.
    """
    with _building:
        if not has_image(BASE_IMAGE):
            log(f"building {BASE_IMAGE} (once, about a minute)")
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
            f"{no_registry}. Without a registry, debootstrap makes the base image, as root on Debian: {need}"
        )
    with tempfile.TemporaryDirectory(prefix="srl-agent-base-") as folder:
        root = Path(folder) / "root"
        options = ("--variant=minbase", f"--include={','.join(_PACKAGES)}")
        command = [program, *options, _SUITE, str(root), *apt_mirrors(Path("/etc/apt"))[:1]]
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


def apt_mirrors(folder: Path) -> list[str]:
    """Return this machine's apt mirrors of our release; if there are none, debootstrap uses its default."""
    found: list[str] = []
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        text = path.read_text(errors="replace") if path.is_file() else ""
        for uri, suites in re.findall(r"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)", text, re.M):
            found += [uri] * (suites == _SUITE)
        for entry in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", entry, re.M))
            if _SUITE in fields.get("Suites", "").split() and "deb" in fields.get("Types", "").split():
                found += fields.get("URIs", "").split()
    return found


def _import(tar: IO[bytes]) -> None:
    name, _, tag = BASE_IMAGE.partition(":")
    with engine_errors(f"importing {BASE_IMAGE}"):
        changes = ["WORKDIR /testbed", 'CMD ["bash"]']
        connect().api.import_image_from_stream(tar, repository=name, tag=tag, changes=changes)
