"""The container engine: one connection per process, labels on every container, removal of dead runs' containers."""

import atexit
import contextlib
import os
import signal
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType

import docker
import psutil
import requests
from urllib3.exceptions import HTTPError

from environments.failures import EnvironmentFailure

LABEL = "srl-agent"  # on every container; its value names the process that owns it
HOST_LABEL = f"{LABEL}.host"  # the machine or container whose process ids LABEL refers to
_TIMEOUT = 120  # seconds for a response of the engine's API
_FIRST_TIMEOUT = 20  # seconds for its first response
_POOL = 64  # connections kept open: one per concurrent sandbox

# Exceptions of the client: urllib3's own errors come through where a response is streamed.
CLIENT_ERRORS = (docker.errors.DockerException, requests.RequestException, HTTPError, OSError)


@cache
def connect() -> docker.DockerClient:
    """Return a client of the engine at DOCKER_HOST or the default socket; all threads share its connection.

    Call it first in the main thread: from then on Ctrl-C and SIGTERM remove this process's containers, including
    those made by other threads. Raises EnvironmentFailure.
    """
    with engine_errors("the container engine"):
        first = docker.from_env(timeout=_FIRST_TIMEOUT)
        first.ping()
        first.close()
        client = docker.from_env(timeout=_TIMEOUT, max_pool_size=_POOL)
    LIVE.remove_at_exit()
    return client


@cache
def engine_cpus() -> int:
    """Return the cores of the engine's machine: containers with more are refused. Raises EnvironmentFailure."""
    with engine_errors("the container engine"):
        return int(connect().info()["NCPU"])


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn exceptions of the engine's client into EnvironmentFailure; ``what`` names the operation."""
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise EnvironmentFailure(f"{what}: the image is not on this machine: {_first_line(error)}") from error
    except docker.errors.NotFound as error:
        raise EnvironmentFailure(f"{what}: the container is gone: {_first_line(error)}") from error
    except CLIENT_ERRORS as error:
        if getattr(error, "status_code", None) == 409:  # "is not running", "is being removed", "is paused"
            raise EnvironmentFailure(f"{what}: changed from outside: {_first_line(error)}") from error
        host = os.environ.get("DOCKER_HOST", "the default socket")
        raise EnvironmentFailure(
            f"{what}: the engine at {host} failed: {_first_line(error)}; `python -m harness.doctor` says what to do"
        ) from error


def own_labels() -> dict[str, str]:
    """Return labels that name this process: process ids alone are reused, and mean nothing on another machine."""
    return {LABEL: f"{os.getpid()}:{_started(os.getpid())}", HOST_LABEL: _host()}


def _host() -> str:
    """Return a name of this machine; the process-id namespace distinguishes containers that share an engine."""
    try:
        return f"{socket.gethostname()}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """Return a process's start time, or "" if not visible: on Linux in ticks since boot, which no clock shifts."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        pass
    try:
        return f"{psutil.Process(pid).create_time():.0f}"
    except psutil.Error:
        return ""


def _is_dead(owner: str) -> bool:
    pid, _, started = owner.partition(":")
    if not pid.isdecimal() or not started:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, and perhaps invisible to this one
        return _started(int(pid)) not in ("", started)
    return _started(int(pid)) != started


def remove_leftovers() -> list[str]:
    """Remove the containers of this machine's dead processes only; return their names. Raises EnvironmentFailure."""
    removed = []
    with engine_errors("looking for leftovers"):
        api = connect().api
        for found in api.containers(all=True, filters={"label": f"{HOST_LABEL}={_host()}"}):
            if _is_dead(found["Labels"].get(LABEL, "")):
                _remove(api, found["Id"])
                removed.append(found["Names"][0].removeprefix("/"))
    return removed


class _Live:
    """Removal of this process's containers however it ends, except by kill -9 (see remove_leftovers)."""

    def __init__(self) -> None:
        self._process = 0  # id of the process that removes at its exit: a forked child owns no containers
        self._removing = False
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int] = {}
        self._stopped: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def remove_at_exit(self) -> None:
        """Remove containers at exit and on signals. Signal handlers are set only if called in the main thread."""
        if self._process != os.getpid():
            self._process = os.getpid()
            atexit.register(self.close)
            os.register_at_fork(after_in_child=connect.cache_clear)  # its connections are the parent's
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            previous = signal.getsignal(number)
            if number not in self._previous and previous is not None and previous is not signal.SIG_IGN:
                self._previous[number] = previous
                signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Raise EnvironmentFailure in a thread that has to stop."""
        if threading.current_thread() in self._stopped:
            raise EnvironmentFailure("no new container: this process is being stopped")

    def close(self) -> None:
        """Remove all containers, and keep the other running threads from making new ones."""
        self._stopped.update(set(threading.enumerate()) - {threading.main_thread()})
        _remove_own()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Call the previous handler; if it ends the program, remove the containers first."""
        previous = self._previous[number]
        try:
            if callable(previous):
                previous(number, frame)
            elif self._process == os.getpid():
                raise SystemExit(128 + number)
            else:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        except BaseException:
            # A second Ctrl-C does not wait.
            if self._process == os.getpid() and not self._removing:
                self._removing = True
                remover = threading.Thread(target=self.close, daemon=True)
                remover.start()
                remover.join(timeout=60)
                self._removing = False
            raise


LIVE = _Live()


def _remove_own() -> None:
    """Remove this process's containers; ignore an engine that is down."""
    # Over a new connection: the thread that a signal interrupted may hold a lock of the shared one.
    with contextlib.suppress(*CLIENT_ERRORS):
        client = docker.from_env(timeout=_FIRST_TIMEOUT)
        wanted = {"label": [f"{name}={value}" for name, value in own_labels().items()]}
        for found in client.api.containers(all=True, filters=wanted):
            with contextlib.suppress(*CLIENT_ERRORS):
                _remove(client.api, found["Id"])
        client.close()


def _remove(api: docker.APIClient, container_id: str) -> None:
    try:
        api.remove_container(container_id, force=True, v=True)
    except docker.errors.APIError as error:
        if error.status_code not in (404, 409):  # gone, or being removed by someone else
            raise


def _first_line(error: BaseException) -> str:
    text = getattr(error, "explanation", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]
