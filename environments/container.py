"""A single-use container: no network, limits on everything, a sharp line between a failed command and a broken box."""

import atexit
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

import docker

from environments.engine import LABEL, LIVE, connect, engine_errors, owner
from environments.failures import EnvironmentFailure
from environments.tools.bash import CommandResult, StopReason

Take = Callable[[int, bytes], None]  # gets the stream (1 stdout, 2 stderr) and what came

_GB = 1 << 30
_KILLED = 128 + signal.SIGKILL
_CHUNK = 1 << 16  # bytes read at once
_IDLE = 0.5  # seconds without output after which it is asked whether the command has ended
_DISK_EVERY = 5.0  # seconds between looks at what a command has written

# Test suites are judged under Docker's default capabilities. These of them bear on files and processes inside the
# box; the rest (raw sockets, device nodes, …) is dropped.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one box."""

    memory_bytes: int = 4 * _GB  # swap included
    cpus: float = 2.0
    pids: int = 512
    disk_bytes: int = (
        4 * _GB
    )  # written by a command; looked at every few seconds, and the largest single file
    output_chars: int = 100_000  # of a command that are kept, head and tail
    output_bytes: int = _GB  # after so much output a command is stopped
    command_seconds: float = 120.0
    box_seconds: float = 7200.0  # after so long every command is stopped at once


class Container:
    """A box of an image; ``close`` (or ``with``) removes it. Not for several threads at once."""

    def __init__(self, image: str, *, limits: Limits | None = None, workdir: str = "/testbed") -> None:
        """Start it. Raises EnvironmentFailure."""
        self.limits = limits or Limits()
        self.image = image
        self._workdir = workdir
        self._deadline = time.monotonic() + self.limits.box_seconds
        _clean_up_at_exit()
        self._api = connect().api
        with engine_errors(f"starting a container of {image}"):
            self._container = connect().containers.create(image, **_create_options(self.limits, workdir))
        LIVE.add(self._container)
        try:
            with engine_errors(f"starting a container of {image}"):
                self._container.start()
        except EnvironmentFailure:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The engine's name for it."""
        return str(self._container.name)

    def __enter__(self) -> "Container":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove it, at once and with all that runs in it. A box that is gone already is closed."""
        LIVE.discard(self._container)
        try:
            self._container.remove(force=True, v=True)
        except (docker.errors.DockerException, OSError) as error:
            # Gone, or on its way out by another hand.
            if getattr(error, "status_code", None) not in (404, 409):
                print(f"warning: container {self.name} could not be removed: {error}", file=sys.stderr)

    def run(
        self, command: str, *, timeout: float | None = None, env: Mapping[str, str] | None = None
    ) -> CommandResult:
        """Run a shell command; stdout and stderr come in the order they were written.

        At a limit everything that runs in the box is killed, and the command's exit code is None. A process that
        is left in the background does not hold the call. Raises EnvironmentFailure if the box broke.
        """
        kept = _Kept(self.limits.output_chars)
        # One pipe for both streams: over two, the engine cannot keep the order they were written in.
        argv = ["bash", "-c", 'exec bash -c "$1" 2>&1', "bash", command]
        code, stopped = self._execute(argv, lambda stream, data: kept.add(data), timeout=timeout, env=env)
        return CommandResult(output=kept.text(), exit_code=code, stopped=stopped)

    def read(self, path: str, *, limit: int = 64 * 1024 * 1024) -> bytes | None:
        """Content of a file; None if there is no such file. Raises EnvironmentFailure, ValueError over ``limit``."""
        content = bytearray()

        def take(stream: int, data: bytes) -> None:
            if stream == 1 and len(content) <= limit:
                content.extend(data)

        argv = ["head", "-c", str(limit + 1), "--", self._absolute(path)]
        code, _ = self._execute(argv, take)
        if code != 0:
            return None
        if len(content) > limit:
            raise ValueError(f"{path} is larger than {limit} bytes")
        return bytes(content)

    def write(self, path: str, data: bytes) -> None:
        """Replace or create a file, and its folders. Raises EnvironmentFailure, OSError if the box refuses."""
        script = 'mkdir -p -- "$(dirname -- "$1")" && head -c "$2" > "$1"'
        said = bytearray()
        argv = ["bash", "-c", script, "bash", self._absolute(path), str(len(data))]
        code, _ = self._execute(argv, lambda stream, text: said.extend(text[:1000]), stdin=data)
        if code != 0:
            raise OSError(f"{path} cannot be written: {said.decode(errors='replace').strip()[:300]}")

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self._workdir}/{path}"

    def _execute(
        self,
        argv: Sequence[str],
        take: Take,
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> tuple[int | None, StopReason | None]:
        """Exit code, or why it was stopped. A box that is too full of processes to start one is emptied first."""
        for emptied in (False, True):
            held = _Held(take)
            code, stopped = self._execute_once(argv, held, timeout=timeout, env=env, stdin=stdin)
            if not held.refused or emptied:
                break
            self._kill_all()
        held.release()
        return code, stopped

    def _execute_once(
        self,
        argv: Sequence[str],
        take: "_Held",
        *,
        timeout: float | None,
        env: Mapping[str, str] | None,
        stdin: bytes | None,
    ) -> tuple[int | None, StopReason | None]:
        deadline = min(time.monotonic() + (timeout or self.limits.command_seconds), self._deadline)
        with engine_errors(f"container {self.name}"):
            execution = self._api.exec_create(
                self._container.id,
                list(argv),
                stdin=stdin is not None,
                workdir=self._workdir,
                environment=dict(env or {}),
            )["Id"]
            stream = self._api.exec_start(execution, socket=True)
            raw: socket.socket = getattr(stream, "_sock", stream)
            try:
                raw.settimeout(max(deadline - time.monotonic(), 1.0))
                if stdin:
                    raw.sendall(stdin)
                stopped = self._follow(execution, raw, take, deadline)
            except (TimeoutError, BrokenPipeError, ConnectionResetError):
                stopped = "time" if time.monotonic() >= deadline else None
            finally:
                stream.close()
                raw.close()
            if stopped is not None:
                self._kill_all()
                return None, stopped
            code = self._exit_code(execution)
            take.refused = bool(take.held) and not self._api.exec_inspect(execution).get("Pid")
            return code, None

    def _follow(self, execution: str, raw: socket.socket, take: Take, deadline: float) -> StopReason | None:
        """Read until the command has ended (None) or has to be stopped."""
        frames = _Frames(take)
        look_at_disk = time.monotonic() + _DISK_EVERY
        poll = select.poll()
        poll.register(raw, select.POLLIN)
        while True:
            now = time.monotonic()
            if now >= deadline:
                return "time"
            if frames.total > self.limits.output_bytes:
                return "output"
            if now >= look_at_disk:
                if self._written() > self.limits.disk_bytes:
                    return "disk"
                look_at_disk = time.monotonic() + _DISK_EVERY
            if poll.poll(min(_IDLE, deadline - now) * 1000):
                data = raw.recv(_CHUNK)
                if not data:
                    return None
                frames.feed(data)
            elif not self._api.exec_inspect(execution)["Running"]:
                return None  # it has ended, and something that it left behind holds its output open

    def _written(self) -> int:
        """Bytes in the box's own layer."""
        found = self._api.containers(size=True, filters={"id": self._container.id})
        return int(found[0].get("SizeRw") or 0) if found else 0

    def _exit_code(self, execution: str) -> int:
        """Of a command whose output has ended. Raises EnvironmentFailure if the box ended with it."""
        for _ in range(100):
            found = self._api.exec_inspect(execution)
            if not found["Running"]:
                break
            time.sleep(0.02)
        code = int(found["ExitCode"] if found["ExitCode"] is not None else _KILLED)
        # A command is killed by the memory limit, or by the end of its box, of which the engine hears a moment later.
        for _ in range(6 if code == _KILLED else 1):
            state = self._api.inspect_container(self._container.id)["State"]
            if state["Status"] != "running":
                why = "out of memory" if state.get("OOMKilled") else f"exit code {state.get('ExitCode')}"
                raise EnvironmentFailure(f"container {self.name} stopped while a command ran in it ({why})")
            time.sleep(0.2 if code == _KILLED else 0.0)
        return code

    def _kill_all(self) -> None:
        """End every process of the box, from outside: nothing in it can be too many, or get away. Files stay."""
        self._api.kill(self._container.id)
        self._api.wait(self._container.id, timeout=60)
        self._api.start(self._container.id)


def _create_options(limits: Limits, workdir: str) -> dict[str, Any]:
    return {
        # The first process of a box cannot be killed from inside it, so nothing in the box can end the box; a shell
        # as that process also reaps what commands leave behind.
        "command": ["bash", "-c", "while :; do sleep 1000; done"],
        "entrypoint": [],
        "network_mode": "none",
        "working_dir": workdir,
        "labels": {LABEL: owner()},
        "cap_drop": ["ALL"],
        "cap_add": list(_CAPABILITIES),
        "security_opt": ["no-new-privileges"],
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,
        "nano_cpus": int(limits.cpus * 1e9),
        "cpu_shares": max(2, round(limits.cpus)) * 1024,  # some test suites count cores by it
        "pids_limit": limits.pids,
        "ulimits": [docker.types.Ulimit(name="fsize", soft=limits.disk_bytes, hard=limits.disk_bytes)],
        "log_config": docker.types.LogConfig(type="none"),
    }


class _Held:
    """Output that may be the engine's word that it could not start the command: kept back until that is known."""

    _MARK = b"OCI runtime exec failed"

    def __init__(self, take: Take) -> None:
        self._take = take
        self._first = True
        self.held: list[tuple[int, bytes]] = []
        self.refused = False

    def __call__(self, stream: int, data: bytes) -> None:
        if self.held or (self._first and data.startswith(self._MARK)):
            self.held.append((stream, data))
        else:
            self._take(stream, data)
        self._first = False

    def release(self) -> None:
        for stream, data in self.held:
            self._take(stream, data)


class _Frames:
    """The engine's framing of stdout and stderr: eight bytes (stream, size), then so many bytes."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._header = bytearray()
        self._stream = 0
        self._left = 0
        self.total = 0

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._left:
                missing = 8 - len(self._header)
                self._header += view[:missing]
                view = view[missing:]
                if len(self._header) < 8:
                    return
                self._stream, self._left = struct.unpack(">BxxxL", self._header)
                self._header.clear()
                continue
            part = bytes(view[: self._left])
            self._take(self._stream, part)
            self.total += len(part)
            self._left -= len(part)
            view = view[len(part) :]


class _Kept:
    """Head and tail of an output, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)  # bytes of head, and of tail
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[: max(room, 0)]
        self._tail += data[max(room, 0) :]
        if (extra := len(self._tail) - self._half) > self._half:  # not at every chunk: cutting costs a copy
            del self._tail[:extra]
            self._left_out += extra

    def text(self) -> str:
        extra = max(len(self._tail) - self._half, 0)
        del self._tail[:extra]
        self._left_out += extra
        if not self._left_out:
            return bytes(self._head + self._tail).decode("utf-8", errors="replace")
        head, tail = (bytes(part).decode("utf-8", errors="replace") for part in (self._head, self._tail))
        return f"{head}\n[{self._left_out} bytes left out]\n{tail}"


_installed = threading.Lock()


def _clean_up_at_exit() -> None:
    """Once a process: whatever ends it (but for a kill -9) removes its containers."""
    if not _installed.acquire(blocking=False):
        return
    atexit.register(LIVE.close)
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)

    def on_terminate(number: int, frame: FrameType | None) -> None:
        LIVE.close()
        if callable(before):
            before(number, frame)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, on_terminate)
