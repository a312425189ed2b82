"""A single-use container without network and with limits; a broken sandbox is never taken for a failed command."""

import contextlib
import errno
import io
import signal
import socket
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import docker

from environments.failures import EnvironmentFailure
from environments.sandbox.engine import CLIENT_ERRORS, LIVE, connect, engine_cpus, engine_errors, own_labels
from environments.sandbox.output import FrameDecoder, HeadAndTail, Sink, StartErrorFilter, read_buffered
from environments.tools.bash import CommandResult, StopReason, command_error

GB = 1 << 30
_KILLED = 128 + signal.SIGKILL
_CANNOT_RUN = 126  # the exit code of shells
_POLL_SECONDS = 0.02  # between checks of a command whose output has ended
_STDERR_LIMIT = 4096  # bytes kept of a script's stderr
_CHUNK = 1 << 16  # bytes sent at once
_IDLE_SECONDS = 0.5  # without output, before checking whether the command has ended
_DISK_SECONDS = 5.0  # between checks of the disk space that a command has used

# Test suites expect Docker's default capabilities. These are the ones for files and processes inside the sandbox; the
# rest (raw sockets, device nodes, …) are dropped.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Resource limits per sandbox; a GB is 2**30 bytes."""

    memory_gb: float = 4.0  # including swap
    cpus: float = 2.0
    pids: int = 512
    disk_gb: float = 4.0  # in the sandbox's own layer, checked every few seconds; for a single file, at once
    output_chars: int = 100_000  # of a command's output that are kept, head and tail
    output_bytes: int = GB  # of output after which a command is stopped
    command_seconds: float = 120.0
    sandbox_seconds: float = 7200.0  # after which every command is stopped at once

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gb * GB)

    @property
    def disk_bytes(self) -> int:
        return int(self.disk_gb * GB)


@dataclass(frozen=True, kw_only=True)
class ScriptResult:
    """Result of one of our own shell scripts."""

    output: bytes  # the first bytes of stdout
    error: str  # the end of stderr, or the limit that was reached, in one line
    exit_code: int | None  # None: stopped at a limit


class Container(contextlib.AbstractContextManager["Container"]):
    """A sandbox made from an image; ``close`` (or ``with``) removes it. Not thread-safe."""

    def __init__(
        self,
        image: str,
        *,
        limits: Limits | None = None,
        workdir: str = "/testbed",
        tmpfs: Mapping[str, int] | None = None,
    ) -> None:
        """Start it. ``tmpfs``: folders kept in memory, with their sizes in bytes. Raises EnvironmentFailure."""
        self.limits = limits or Limits()
        self.image = image
        self.workdir = workdir
        self._deadline = time.monotonic() + self.limits.sandbox_seconds
        LIVE.check()
        LIVE.remove_at_exit()
        self._api = connect().api
        with engine_errors(f"starting a container of {image}"):
            options = _create_options(self.limits, workdir)
            options["tmpfs"] = {path: f"size={size}" for path, size in (tmpfs or {}).items()}
            self._container = connect().containers.create(image, **options)
        try:
            LIVE.check()
            with engine_errors(f"starting a container of {image}"):
                self._container.start()
        except EnvironmentFailure:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The container's name in the engine."""
        return str(self._container.name)

    @property
    def seconds_left(self) -> float:
        """Remaining lifetime; 0 when it is over."""
        return max(self._deadline - time.monotonic(), 0.0)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the container at once, with all its processes; one that is already gone counts as closed."""
        try:
            self._container.remove(force=True, v=True)
        except CLIENT_ERRORS as error:
            # Gone, or being removed by someone else.
            if getattr(error, "status_code", None) not in (404, 409):
                print(f"warning: container {self.name} could not be removed: {error}", file=sys.stderr)

    def run(
        self, command: str, *, timeout: float | None = None, env: Mapping[str, str] | None = None
    ) -> CommandResult:
        """Run a shell command; its output is stdout and stderr in the order in which they were written.

        At a limit every process in the sandbox is killed, and the command's exit code is None. A process left in the
        background does not block the call. Raises EnvironmentFailure if the sandbox broke.
        """
        if problem := command_error(command):
            return CommandResult(output=f"{problem}\n", exit_code=_CANNOT_RUN)
        kept = HeadAndTail(self.limits.output_chars)
        # One pipe for both streams: with two, the engine cannot preserve their order.
        script = 'exec 2>&1; cd -- "$2" || cd /; exec bash -c "$1"'
        argv = ["bash", "-c", script, "bash", command, self.workdir]
        code, stopped = self.execute(argv, lambda stream, data: kept.add(data), timeout=timeout, env=env)
        text, omitted = kept.text(), kept.omitted_bytes
        return CommandResult(output=text, exit_code=code, stopped=stopped, omitted_bytes=omitted)

    def read(self, path: str, *, limit: int = 64 * 1024 * 1024) -> bytes | None:
        """Return a file's bytes or None if it does not exist. Raises EnvironmentFailure; ValueError over ``limit``."""
        if "\0" in path:
            return None
        script = '[ -f "$1" ] && exec head -c "$2" -- "$1"'  # reading a pipe would block
        done = self.script(script, self._absolute(path), str(limit + 1), max_output=limit + 1)
        if done.exit_code != 0:
            return None
        if len(done.output) > limit:
            raise ValueError(f"{path} is larger than {limit} bytes")
        return done.output

    def write(self, path: str, data: bytes) -> None:
        """Replace or create a file, and its folders. Raises EnvironmentFailure, OSError if it cannot be written."""
        if "\0" in path:
            raise OSError(f"{path!r} cannot be the path of a file")
        script = """
            mkdir -p -- "$(dirname -- "$1")" || exit 1
            [ ! -e "$1" ] || [ -f "$1" ] || { echo "not a regular file" >&2; exit 1; }
            exec head -c "$2" > "$1"
        """
        done = self.script(script, self._absolute(path), str(len(data)), stdin=io.BytesIO(data))
        if done.exit_code != 0:
            raise OSError(f"{path} cannot be written: {done.error}")

    def script(
        self,
        script: str,
        *arguments: str,
        max_output: int = 0,
        timeout: float | None = None,
        stdin: IO[bytes] | None = None,
    ) -> ScriptResult:
        """Run one of our own shell scripts in ``/``; keep ``max_output`` bytes of stdout. Raises EnvironmentFailure."""
        output, stderr = bytearray(), bytearray()

        def sink(stream: int, data: bytes) -> None:
            if stream == 1:
                output.extend(data[: max(max_output - len(output), 0)])
            else:
                stderr.extend(data)
                del stderr[:-_STDERR_LIMIT]

        argv = ["bash", "-c", script, "bash", *arguments]
        code, stopped = self.execute(argv, sink, timeout=timeout, stdin=stdin)
        error = _one_line(stderr) or (f"stopped at a limit ({stopped})" if stopped else "")
        return ScriptResult(output=bytes(output), error=error, exit_code=code)

    def archive(self, folder: str) -> Generator[bytes, None, None]:
        """Yield a folder as a tar archive that the engine makes. Raises EnvironmentFailure, FileNotFoundError."""
        with engine_errors(f"container {self.name}"):
            with contextlib.suppress(docker.errors.APIError):  # not every engine can pause
                self._api.pause(self._container.id)
            missing = False
            try:
                yield from self._api.get_archive(self._container.id, folder, chunk_size=_CHUNK)[0]
            except docker.errors.NotFound:
                self._api.inspect_container(self._container.id)  # raises if the container is what is missing
                missing = True
            finally:
                with contextlib.suppress(docker.errors.APIError):
                    self._api.unpause(self._container.id)
        if missing:  # raised out here, as engine_errors takes every OSError for the engine's
            raise FileNotFoundError(errno.ENOENT, "no such folder in the sandbox", folder)

    def _restart(self) -> None:
        """End every process of the sandbox from outside, so that none can escape or be too many. Files stay."""
        self._api.kill(self._container.id)
        self._api.wait(self._container.id, timeout=60)
        self._api.start(self._container.id)

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.workdir}/{path}"

    def execute(
        self,
        argv: Sequence[str],
        sink: Sink,
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        stdin: IO[bytes] | None = None,
        after_expiry: bool = False,
    ) -> tuple[int | None, StopReason | None]:
        """Run a program in ``/`` and pass its output to ``sink``; return its exit code, or why it was stopped.

        The program does not see the end of ``stdin`` (not all engines can signal it): it has to know how much to
        read. ``after_expiry``: run even when the sandbox's lifetime is over. If the processes in the sandbox leave no
        room to start another, all of them are ended first. Raises EnvironmentFailure, and what ``sink`` raises.
        """
        for restarted in (False, True):
            checked = StartErrorFilter(sink)
            code, stopped = self._execute_once(
                argv, checked, timeout=timeout, env=env, stdin=stdin, after_expiry=after_expiry
            )
            if not checked.refused:
                checked.release()
                return code, stopped
            if not restarted:
                with engine_errors(f"container {self.name}"):
                    self._restart()
                if stdin is not None:
                    stdin.seek(0)
        why = _one_line(checked.message)
        raise EnvironmentFailure(f"container {self.name}: no program can be started in it: {why}")

    def _execute_once(
        self,
        argv: Sequence[str],
        sink: StartErrorFilter,
        *,
        timeout: float | None,
        env: Mapping[str, str] | None,
        stdin: IO[bytes] | None,
        after_expiry: bool,
    ) -> tuple[int | None, StopReason | None]:
        seconds = self.limits.command_seconds if timeout is None else timeout
        deadline = time.monotonic() + (seconds if after_expiry else min(seconds, self.seconds_left))
        with engine_errors(f"container {self.name}"):
            options = {"stdin": stdin is not None, "workdir": "/", "environment": dict(env or {})}
            execution = self._api.exec_create(self._container.id, list(argv), **options)["Id"]
            stream = self._api.exec_start(execution, socket=True)
            raw: socket.socket = getattr(stream, "_sock", stream)
            try:
                frames = FrameDecoder(sink)
                frames.feed(read_buffered(stream, raw))
                raw.settimeout(max(deadline - time.monotonic(), 1.0))
                if stdin is not None:
                    _send(raw, stdin)
                stopped = self._follow(execution, raw, frames, deadline)
            except TimeoutError:  # the program does not read its stdin
                stopped = "time"
            finally:
                stream.close()
                raw.close()
            if stopped is not None:
                self._restart()
                return None, stopped
            code = self._exit_code(execution)
            sink.refused = bool(code and sink.is_refusal and not self._api.exec_inspect(execution).get("Pid"))
            return code, None

    def _follow(self, run_id: str, raw: socket.socket, frames: FrameDecoder, end: float) -> StopReason | None:
        """Read output until the command has ended (None) or has to be stopped (the reason)."""
        disk_check = time.monotonic() + _DISK_SECONDS
        open_ = True
        while True:
            now = time.monotonic()
            if now >= end:
                return "time"
            if frames.total > self.limits.output_bytes:
                return "output"
            if now >= disk_check:
                if self._disk_usage() > self.limits.disk_bytes:
                    return "disk"
                disk_check = time.monotonic() + _DISK_SECONDS
            if open_:
                received = frames.receive(raw, min(_IDLE_SECONDS, end - now))
                open_ = received is not False
            else:
                time.sleep(_POLL_SECONDS)
            if (not open_ or received is None) and not self._api.exec_inspect(run_id)["Running"]:
                if open_:  # a process left in the background holds the output open
                    frames.drain(raw, 1.0)
                return None

    def _disk_usage(self) -> int:
        """Return the bytes in the sandbox's own layer."""
        found = self._api.containers(size=True, filters={"id": self._container.id})
        return int(found[0].get("SizeRw") or 0) if found else 0

    def _exit_code(self, execution: str) -> int:
        """Return the exit code of a command that has ended. Raises EnvironmentFailure if the sandbox ended with it."""
        found = self._api.exec_inspect(execution)
        code = int(found["ExitCode"] if found["ExitCode"] is not None else _KILLED)
        # A killed command hit the memory limit, or its sandbox ended, which the engine reports a moment later.
        for _ in range(6 if code == _KILLED else 1):
            state = self._api.inspect_container(self._container.id)["State"]
            if state["Status"] != "running":
                why = "out of memory" if state.get("OOMKilled") else f"exit code {state.get('ExitCode')}"
                raise EnvironmentFailure(f"container {self.name} stopped while a command ran in it ({why})")
            time.sleep(0.2 if code == _KILLED else 0.0)
        return code


def _one_line(stderr: bytes | bytearray) -> str:
    """Return the end of an error output in one line."""
    return " ".join(stderr.decode("utf-8", errors="replace").split())[-500:]


def _send(raw: socket.socket, data: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the program has read enough
        while chunk := data.read(_CHUNK):
            raw.sendall(chunk)


def _create_options(limits: Limits, workdir: str) -> dict[str, object]:
    cpus = min(limits.cpus, engine_cpus())
    return {
        # The first process of a container cannot be killed from inside it, so nothing in a sandbox can end the sandbox.
        # A shell as that process also reaps the children that commands leave behind.
        "command": ["bash", "-c", "while :; do sleep 1000; done"],
        "entrypoint": [],
        "network_mode": "none",
        "working_dir": workdir,
        "labels": own_labels(),
        "cap_drop": ["ALL"],
        "cap_add": list(_CAPABILITIES),
        "security_opt": ["no-new-privileges"],
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,
        "nano_cpus": int(cpus * 1e9),
        "cpu_shares": max(2, round(cpus)) * 1024,  # some test suites count cores by it
        "pids_limit": limits.pids,
        "ulimits": [docker.types.Ulimit(name="fsize", soft=limits.disk_bytes, hard=limits.disk_bytes)],
        "log_config": docker.types.LogConfig(type="none"),
    }
