"""The container engine: one connection a process, labels on all that we make, and what is left of dead runs."""

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
from typing import Any

import docker
import psutil
import requests
import urllib3

from environments.failures import EnvironmentFailure

LABEL = "srl-agent"  # on every container; its value names the process that owns it
HOST_LABEL = f"{LABEL}.host"  # the machine, or the container, in which process ids of LABEL mean something
_TIMEOUT = 120  # seconds for an answer of the engine's API
_FIRST_TIMEOUT = 20  # seconds for its first answer
_POOL = 64  # connections kept: one for each box that works at the same time

# What the client raises: urllib3's own errors come through where an answer is streamed.
CLIENT_ERRORS = (
    docker.errors.DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)


@cache
def connect() -> Any:
    """The engine of DOCKER_HOST, or of the default socket; the connection is shared by all threads.

    Call it first in the main thread: from then on Ctrl-C and SIGTERM remove this process's containers, also
    those that other threads made. Raises EnvironmentFailure.
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
    """Cores of the engine's machine; it refuses a container that asks for more. Raises EnvironmentFailure."""
    with engine_errors("the container engine"):
        return int(connect().info()["NCPU"])


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn what the engine's client raises into EnvironmentFailure; ``what`` says what was being done."""
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
    """Name this process: a process id alone is used again, and means nothing on another machine."""
    return {LABEL: f"{os.getpid()}:{_started(os.getpid())}", HOST_LABEL: _host()}


def _host() -> str:
    """This machine; the process-id namespace tells containers that share an engine apart."""
    try:
        return f"{socket.gethostname()}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """When a process started, or "" if none is to be seen: on Linux in ticks since the boot, which no clock moves."""
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
    except PermissionError:  # another user's, and perhaps hidden from us
        return _started(int(pid)) not in ("", started)
    return _started(int(pid)) != started


def remove_leftovers() -> list[str]:
    """Remove the containers of this machine's runs whose process is dead, and nothing else; returns their names.

    Raises EnvironmentFailure.
    """
    removed = []
    with engine_errors("looking for leftovers"):
        api = connect().api
        for found in api.containers(all=True, filters={"label": f"{HOST_LABEL}={_host()}"}):
            if _is_dead(found["Labels"].get(LABEL, "")):
                _remove(api, found["Id"])
                removed.append(found["Names"][0].removeprefix("/"))
    return removed


class _Live:
    """Removes the containers of this process, whatever ends it (but for a kill -9, see remove_leftovers)."""

    def __init__(self) -> None:
        self._process = 0  # that removes at its exit; a forked child has no containers of ours
        self._removing = False
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int] = {}
        self._stopped: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def remove_at_exit(self) -> None:
        """From now on. Signals can be taken over in the main thread only: a call in another leaves them."""
        if self._process != os.getpid():
            self._process = os.getpid()
            atexit.register(self.close)
            os.register_at_fork(after_in_child=connect.cache_clear)  # its connections are the parent's
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.getsignal(number)
            if number not in self._before and before is not None and before is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Raises EnvironmentFailure in a thread that was told to stop."""
        if threading.current_thread() in self._stopped:
            raise EnvironmentFailure("no new container: this process is being stopped")

    def close(self) -> None:
        """Remove all, and let the other threads that run now make no new ones."""
        self._stopped.update(set(threading.enumerate()) - {threading.main_thread()})
        _remove_own()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """What was there before decides; if it ends the program, the containers go first."""
        before = self._before[number]
        try:
            if callable(before):
                before(number, frame)
            elif self._process == os.getpid():
                raise SystemExit(128 + number)
            else:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        except BaseException:
            # Whoever presses Ctrl-C twice does not want to wait.
            if self._process == os.getpid() and not self._removing:
                self._removing = True
                remover = threading.Thread(target=self.close, daemon=True)
                remover.start()
                remover.join(timeout=60)
                self._removing = False
            raise


LIVE = _Live()


def _remove_own() -> None:
    """Remove this process's containers; nothing can be done here about an engine that is down.

    Not over the shared connection: the thread that a signal stopped may hold a lock of it.
    """
    with contextlib.suppress(*CLIENT_ERRORS):
        client = docker.from_env(timeout=_FIRST_TIMEOUT)
        wanted = {"label": [f"{name}={value}" for name, value in own_labels().items()]}
        for found in client.api.containers(all=True, filters=wanted):
            with contextlib.suppress(*CLIENT_ERRORS):
                _remove(client.api, found["Id"])
        client.close()


def _remove(api: Any, container_id: str) -> None:
    try:
        api.remove_container(container_id, force=True, v=True)
    except docker.errors.APIError as error:
        if error.status_code not in (404, 409):  # gone, or on its way out by another hand
            raise


def _first_line(error: BaseException) -> str:
    text = getattr(error, "explanation", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]
