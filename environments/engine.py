"""The container engine: one connection a process, labels on all that we make, and what is left of dead runs."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import docker
import psutil
import requests

from environments.failures import EnvironmentFailure

LABEL = "srl-agent"  # on every container; its value names the process that owns it
_TIMEOUT = 120  # seconds for an answer of the engine's API
_POOL = 64  # connections kept: one for each box that works at the same time


@cache
def connect() -> Any:
    """The engine of DOCKER_HOST, or of the default socket; the connection is shared. Raises EnvironmentFailure."""
    with engine_errors("the container engine"):
        client = docker.from_env(timeout=_TIMEOUT, max_pool_size=_POOL)
        client.ping()
    return client


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn what the engine's client raises into EnvironmentFailure; ``what`` says what was being done."""
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise EnvironmentFailure(f"{what}: the image is not on this machine: {_first_line(error)}") from error
    except docker.errors.NotFound as error:
        raise EnvironmentFailure(f"{what}: the container is gone: {_first_line(error)}") from error
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        host = os.environ.get("DOCKER_HOST", "the default socket")
        raise EnvironmentFailure(
            f"{what}: the engine at {host} failed: {_first_line(error)}; `python -m harness.doctor` says what to do"
        ) from error


def owner() -> str:
    """This process: a process id alone is used again."""
    return f"{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_alive(owner_label: str) -> bool:
    """Whether the process that a label names still runs."""
    pid, _, started = owner_label.partition(":")
    try:
        return bool(abs(psutil.Process(int(pid)).create_time() - float(started)) < 0.1)
    except (ValueError, psutil.Error):
        return False


def remove_leftovers() -> list[str]:
    """Remove the containers of runs whose process is dead, and nothing else; returns their names.

    Raises EnvironmentFailure.
    """
    removed = []
    with engine_errors("looking for leftovers"):
        for container in connect().containers.list(all=True, filters={"label": LABEL}):
            if not is_alive(container.labels.get(LABEL, "")):
                container.remove(force=True, v=True)
                removed.append(str(container.name))
    return removed


class _Live:
    """Containers that this process has to remove, whatever ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._containers: dict[str, Any] = {}
        self._closed = False

    def add(self, container: Any) -> None:
        """Raises EnvironmentFailure if the process is on its way out."""
        with self._lock:
            if not self._closed:
                self._containers[container.id] = container
                return
        _remove(container)
        raise EnvironmentFailure("no new container: this process is being stopped")

    def discard(self, container: Any) -> None:
        with self._lock:
            self._containers.pop(container.id, None)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            containers = list(self._containers.values())
            self._containers.clear()
        for container in containers:
            _remove(container)


LIVE = _Live()


def _remove(container: Any) -> None:
    """At the end of a process nothing can be done about an engine that is down."""
    try:
        container.remove(force=True, v=True)
    except (docker.errors.DockerException, requests.RequestException, OSError):
        return


def _first_line(error: BaseException) -> str:
    text = getattr(error, "explanation", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]
