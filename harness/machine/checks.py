"""Check what works on this machine; name what is missing and the command that fixes it.

Every heavy import is inside the check that needs it, so that a broken library is a finding and not a crash.
"""

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

from harness.cli import user_errors

Status = Literal["ok", "warning", "missing"]
DISTRIBUTION = "srl-agent"
_TRAINING = ("torch", "transformers", "trl", "accelerate", "peft", "datasets")
_REWARD_LIBRARIES = {"cydifflib": "cydifflib", "difflib-fast": "difflib_fast"}  # distribution -> module
_INSTALL = "pip install -e ."
_REINSTALL_TORCH = "pip install --force-reinstall torch"
_DISK_GB = 4  # of the demo: its model, checkpoints with the optimizer's state, and spare room
_MEMORY_GB = 4  # the demo's peak (2.8), and room for the system
_GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check."""

    name: str
    status: Status
    found: str
    required: bool  # True if training needs it
    fix: str | None = None  # the command that fixes it


def _check(
    name: str,
    found: str,
    *,
    ok: bool = True,
    otherwise: Status = "warning",
    fix: str | None = None,
    required: bool = True,
) -> Check:
    """Return a check that is ok, or else has the other status and its fix."""
    status = "ok" if ok else otherwise
    return Check(name=name, status=status, found=found, required=required, fix=None if ok else fix)


def all_checks() -> list[Check]:
    """Run all checks in reading order; one that fails in an unexpected way is a finding, not a crash."""
    groups: tuple[tuple[str, bool, Callable[[], Iterator[Check]]], ...] = (
        ("python", True, check_python),
        ("packages", True, check_packages),
        ("torch", True, check_torch),
        ("rewards", True, check_reward_libraries),
        ("demo model", True, check_demo_model),
        ("disk", True, check_disk),
        ("machine", True, check_machine),
        ("vllm", False, check_vllm),
        ("docker", False, check_docker),
    )
    checks: list[Check] = []
    for name, required, group in groups:
        try:
            checks.extend(group())
        except Exception as error:  # a broken library can raise anything on import: report it and continue
            found = f"{type(error).__name__}: {_first_line(error)}"
            checks.append(Check(name=name, status="missing", found=found, required=required, fix=_INSTALL))
    return checks


def check_python() -> Iterator[Check]:
    wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""
    fits = _fits(platform.python_version(), wanted)
    fix = f"install Python {wanted}, then create the virtual environment again"
    found = f"{platform.python_version()} at {sys.executable}"
    yield _check("Python", found, ok=fits, otherwise="missing", fix=fix)


def check_packages() -> Iterator[Check]:
    """Check the training libraries against the version ranges of our own distribution."""
    for name in _TRAINING:
        yield _package(name, required=True, install=_INSTALL)


def check_torch() -> Iterator[Check]:
    import torch

    ones = torch.ones(8, 8, dtype=torch.bfloat16)
    (ones @ ones).sum().item()  # an illegal instruction or a missing kernel fails here
    yield _check("torch runs", f"multiplies matrices in bf16 on {torch.get_num_threads()} CPU threads")
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        found = f"{torch.cuda.get_device_name()}, {free / _GB:.0f} of {total / _GB:.0f} GB free"
        bf16 = torch.cuda.is_bf16_supported()
        yield _check("GPU", f"{found}, bf16 {'yes' if bf16 else 'no'}", required=False)
    elif torch.backends.mps.is_available():
        yield _check("GPU", "Apple GPU (MPS)", required=False)
    else:
        build = "built for CUDA" if torch.version.cuda else "a CPU build"
        found = f"none; torch is {build}. Enough for the demo, too slow for real models"
        fix = None if torch.version.cuda else f"on a machine with a GPU: {_REINSTALL_TORCH}"
        yield _check("GPU", found, ok=False, fix=fix, required=False)


def check_reward_libraries() -> Iterator[Check]:
    for name, module in _REWARD_LIBRARIES.items():
        importlib.import_module(module)
        yield _package(name, required=True, install=_INSTALL)


def check_demo_model() -> Iterator[Check]:
    from srl_agent.models.packaged import DEMO_MODEL, PACKAGED_MODELS, cached_model_path

    path = cached_model_path(DEMO_MODEL)
    requirement = PACKAGED_MODELS[DEMO_MODEL].requirement
    found = f"{DEMO_MODEL} at {path}" if path else f"{DEMO_MODEL} is not in the cache yet"
    fix = f"nothing: the first `python -m harness.train` fetches {requirement} (93 MB)"
    yield _check("demo model", found, ok=bool(path), fix=fix)


def check_disk() -> Iterator[Check]:
    from srl_agent.models.packaged import cache_dir

    for name, folder in (("disk for outputs", Path("outputs")), ("disk for the cache", cache_dir())):
        existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(existing).free / _GB
        writable = os.access(existing, os.W_OK)
        fix = f"free some space ({_DISK_GB} GB)" if writable else f"make {existing} writable"
        found = f"{free:.0f} GB free at {existing}" + ("" if writable else ", not writable")
        enough = writable and free >= _DISK_GB
        yield _check(name, found, ok=enough, otherwise="warning" if writable else "missing", fix=fix)


def check_machine() -> Iterator[Check]:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory().available / _GB
    fix = f"close other programs: the demo needs {_MEMORY_GB} GB"
    found = f"{cores} cores, {memory:.0f} GB available"
    yield _check("cores and memory", found, ok=memory >= _MEMORY_GB, fix=fix)


def check_vllm() -> Iterator[Check]:
    """Check vLLM without importing it: that takes many seconds and only shows whether CUDA is available."""
    check = _package("vllm", required=False, install='pip install -e ".[vllm]" (on a machine with CUDA)')
    if check.status == "missing":
        yield replace(check, status="warning")
        return
    import torch

    if torch.cuda.is_available():
        yield check
    else:
        found = f"{check.found}; serves on this machine, but training through it needs CUDA"
        yield _check("vllm", found, ok=False, required=False)


def check_docker() -> Iterator[Check]:
    """Check the container engine at DOCKER_HOST, which runs the tests of SWE tasks."""
    import docker

    try:
        with closing(docker.from_env(timeout=5)) as client:
            version = client.version()
    except (docker.errors.DockerException, OSError) as error:
        at = os.environ.get("DOCKER_HOST", "the default socket")
        found = f"no engine answers at {at}: {_first_line(error)}"
        installed = shutil.which("dockerd") or shutil.which("docker")
        install = "apt-get install docker.io, then " if not installed else ""
        fix = f"{install}systemctl start docker (or run dockerd as root)"
        yield _check("Docker", found, ok=False, fix=fix, required=False)
    else:
        found = f"engine {version.get('Version')} ({version.get('Os')}/{version.get('Arch')})"
        yield _check("Docker", found, required=False)


def _package(name: str, *, required: bool, install: str) -> Check:
    wanted = _wanted(name)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = f"not installed (wanted: {wanted or 'any version'})"
        return Check(name=name, status="missing", found=found, required=required, fix=install)
    fits = _fits(version, wanted)
    found = version if fits else f"{version}, outside the tested range {wanted}"
    fix = f'pip install "{name}{wanted}"'
    otherwise: Status = "missing" if required else "warning"
    return _check(name, found, ok=fits, otherwise=otherwise, fix=fix, required=required)


def _wanted(name: str) -> str:
    """Return the tested version range of a package: what our own distribution requires."""
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    return next((str(r.specifier) for r in wanted if r.name.lower().replace("_", "-") == name), "")


def _fits(version: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:160]


def remove_dead_containers() -> list[str]:
    """Remove containers left by dead runs and return their names. Raises UserError if no engine answers."""
    from environments.failures import EnvironmentFailure
    from environments.sandbox.engine import remove_leftovers

    with user_errors(EnvironmentFailure):
        return list(remove_leftovers())
