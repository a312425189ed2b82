"""A single-use container: no network, limits on everything, a sharp line between a failed command and a broken box."""

import contextlib
import errno
import io
import signal
import socket
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

import docker

from environments.failures import EnvironmentFailure
from environments.sandbox.engine import CLIENT_ERRORS, LIVE, connect, engine_cpus, engine_errors, own_labels
from environments.sandbox.output import Frames, Held, Kept, Take, read_early
from environments.tools.bash import CommandResult, StopReason, unfit

_GB = 1 << 30
_KILLED = 128 + signal.SIGKILL
_CANNOT_RUN = 126  # what shells say
_ENDING = 0.02  # seconds between looks at a command whose output has ended
_COMPLAINT = 4096  # bytes of stderr that are kept
_CHUNK = 1 << 16  # bytes sent at once
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
    disk_bytes: int = 4 * _GB  # in the box's own layer, looked at every few seconds; of one file, at once
    output_chars: int = 100_000  # of a command that are kept, head and tail
    output_bytes: int = _GB  # after so much output a command is stopped
    command_seconds: float = 120.0
    box_seconds: float = 7200.0  # after so long every command is stopped at once


@dataclass(frozen=True, kw_only=True)
class ScriptResult:
    """Of a script of ours."""

    output: bytes  # the first bytes of stdout
    complaint: str  # the end of stderr, or which limit was reached, in one line
    exit_code: int | None  # None: stopped at a limit


class Container:
    """A box of an image; ``close`` (or ``with``) removes it. Not for several threads at once."""

    def __init__(
        self,
        image: str,
        *,
        limits: Limits | None = None,
        workdir: str = "/testbed",
        in_memory: Mapping[str, int] | None = None,
    ) -> None:
        """Start it. Raises EnvironmentFailure.

        ``in_memory``: folders that lie in memory, with their sizes in bytes.
        """
        self.limits = limits or Limits()
        self.image = image
        self.workdir = workdir
        self._deadline = time.monotonic() + self.limits.box_seconds
        LIVE.check()
        LIVE.remove_at_exit()
        self._api = connect().api
        with engine_errors(f"starting a container of {image}"):
            options = _create_options(self.limits, workdir)
            options["tmpfs"] = {path: f"size={size}" for path, size in (in_memory or {}).items()}
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
        """The engine's name for it."""
        return str(self._container.name)

    @property
    def seconds_left(self) -> float:
        """Of its life; 0 when it is over."""
        return max(self._deadline - time.monotonic(), 0.0)

    def __enter__(self) -> "Container":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove it, at once and with all that runs in it. A box that is gone already is closed."""
        try:
            self._container.remove(force=True, v=True)
        except CLIENT_ERRORS as error:
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
        if problem := unfit(command):
            return CommandResult(output=f"{problem}\n", exit_code=_CANNOT_RUN)
        kept = Kept(self.limits.output_chars)
        # One pipe for both streams: over two, the engine cannot keep the order they were written in.
        script = 'exec 2>&1; cd -- "$2" || cd /; exec bash -c "$1"'
        argv = ["bash", "-c", script, "bash", command, self.workdir]
        code, stopped = self.execute(argv, lambda stream, data: kept.add(data), timeout=timeout, env=env)
        return CommandResult(output=kept.text(), exit_code=code, stopped=stopped, left_out=kept.left_out)

    def read(self, path: str, *, limit: int = 64 * 1024 * 1024) -> bytes | None:
        """Content of a file; None if there is no such file. Raises EnvironmentFailure, ValueError over ``limit``."""
        if "\0" in path:
            return None
        script = '[ -f "$1" ] && exec head -c "$2" -- "$1"'  # a pipe would be waited for
        done = self.script(script, self._absolute(path), str(limit + 1), keep=limit + 1)
        if done.exit_code != 0:
            return None
        if len(done.output) > limit:
            raise ValueError(f"{path} is larger than {limit} bytes")
        return done.output

    def write(self, path: str, data: bytes) -> None:
        """Replace or create a file, and its folders. Raises EnvironmentFailure, OSError if the box refuses."""
        if "\0" in path:
            raise OSError(f"{path!r} cannot be the path of a file")
        script = """
            mkdir -p -- "$(dirname -- "$1")" || exit 1
            [ ! -e "$1" ] || [ -f "$1" ] || { echo "not a regular file" >&2; exit 1; }
            exec head -c "$2" > "$1"
        """
        done = self.script(script, self._absolute(path), str(len(data)), stdin=io.BytesIO(data))
        if done.exit_code != 0:
            raise OSError(f"{path} cannot be written: {done.complaint}")

    def script(
        self,
        script: str,
        *arguments: str,
        keep: int = 0,
        timeout: float | None = None,
        stdin: IO[bytes] | None = None,
    ) -> ScriptResult:
        """Run a shell script of ours in ``/``, keeping ``keep`` bytes of stdout. Raises EnvironmentFailure."""
        output, said = bytearray(), bytearray()

        def take(stream: int, data: bytes) -> None:
            if stream == 1:
                output.extend(data[: max(keep - len(output), 0)])
            else:
                said.extend(data)
                del said[:-_COMPLAINT]

        argv = ["bash", "-c", script, "bash", *arguments]
        code, stopped = self.execute(argv, take, timeout=timeout, stdin=stdin)
        complaint = one_line(said) or (f"stopped at a limit ({stopped})" if stopped else "")
        return ScriptResult(output=bytes(output), complaint=complaint, exit_code=code)

    def archive(self, folder: str) -> Generator[bytes, None, None]:
        """A folder as a tar archive, by the engine alone: it needs no working program in the box.

        Raises EnvironmentFailure, FileNotFoundError.
        """
        with engine_errors(f"container {self.name}"):
            with contextlib.suppress(docker.errors.APIError):  # not every engine can
                self._api.pause(self._container.id)
            missing = False
            try:
                yield from self._api.get_archive(self._container.id, folder, chunk_size=_CHUNK)[0]
            except docker.errors.NotFound:
                self._api.inspect_container(self._container.id)  # the container is not what is missing
                missing = True
            finally:
                with contextlib.suppress(docker.errors.APIError):
                    self._api.unpause(self._container.id)
        if missing:  # an OSError, which must not look like the engine's
            raise FileNotFoundError(errno.ENOENT, "no such folder in the box", folder)

    def _restart(self) -> None:
        """End every process of the box, from outside: nothing in it can be too many, or get away. Files stay."""
        self._api.kill(self._container.id)
        self._api.wait(self._container.id, timeout=60)
        self._api.start(self._container.id)

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.workdir}/{path}"

    def execute(
        self,
        argv: Sequence[str],
        take: Take,
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        stdin: IO[bytes] | None = None,
        late: bool = False,
    ) -> tuple[int | None, StopReason | None]:
        """Run a program in ``/``; ``take`` gets its output as it comes. Its exit code, or why it was stopped.

        The end of ``stdin`` is not told to it (not all engines can): it has to know how much to read. ``late``: also
        when the box's life is over. A box in which nothing more can be started, for the processes in it, is emptied
        first. Raises EnvironmentFailure, and what ``take`` raises.
        """
        for emptied in (False, True):
            held = Held(take)
            code, stopped = self._execute_once(argv, held, timeout=timeout, env=env, stdin=stdin, late=late)
            if not held.refused:
                held.release()
                return code, stopped
            if not emptied:
                with engine_errors(f"container {self.name}"):
                    self._restart()
                if stdin is not None:
                    stdin.seek(0)
        raise EnvironmentFailure(
            f"container {self.name}: nothing can be started in it: {one_line(held.said)}"
        )

    def _execute_once(
        self,
        argv: Sequence[str],
        take: Held,
        *,
        timeout: float | None,
        env: Mapping[str, str] | None,
        stdin: IO[bytes] | None,
        late: bool,
    ) -> tuple[int | None, StopReason | None]:
        seconds = self.limits.command_seconds if timeout is None else timeout
        deadline = time.monotonic() + (seconds if late else min(seconds, self.seconds_left))
        with engine_errors(f"container {self.name}"):
            execution = self._api.exec_create(
                self._container.id,
                list(argv),
                stdin=stdin is not None,
                workdir="/",
                environment=dict(env or {}),
            )["Id"]
            stream = self._api.exec_start(execution, socket=True)
            raw: socket.socket = getattr(stream, "_sock", stream)
            try:
                frames = Frames(take)
                frames.feed(read_early(stream, raw))
                raw.settimeout(max(deadline - time.monotonic(), 1.0))
                if stdin is not None:
                    _send(raw, stdin)
                stopped = self._follow(execution, raw, frames, deadline)
            except TimeoutError:  # it does not read what it is sent
                stopped = "time"
            finally:
                stream.close()
                raw.close()
            if stopped is not None:
                self._restart()
                return None, stopped
            code = self._exit_code(execution)
            take.refused = bool(code and take.is_refusal and not self._api.exec_inspect(execution).get("Pid"))
            return code, None

    def _follow(
        self, execution: str, raw: socket.socket, frames: Frames, deadline: float
    ) -> StopReason | None:
        """Read until the command has ended (None) or has to be stopped."""
        look_at_disk = time.monotonic() + _DISK_EVERY
        open_ = True
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
            if open_:
                came = frames.receive(raw, min(_IDLE, deadline - now))
                open_ = came is not False
            else:
                time.sleep(_ENDING)
            if (not open_ or came is None) and not self._api.exec_inspect(execution)["Running"]:
                if open_:  # something that it left behind holds its output open
                    frames.drain(raw, 1.0)
                return None

    def _written(self) -> int:
        """Bytes in the box's own layer."""
        found = self._api.containers(size=True, filters={"id": self._container.id})
        return int(found[0].get("SizeRw") or 0) if found else 0

    def _exit_code(self, execution: str) -> int:
        """Of a command that has ended. Raises EnvironmentFailure if the box ended with it."""
        found = self._api.exec_inspect(execution)
        code = int(found["ExitCode"] if found["ExitCode"] is not None else _KILLED)
        # A command is killed by the memory limit, or by the end of its box, of which the engine hears a moment later.
        for _ in range(6 if code == _KILLED else 1):
            state = self._api.inspect_container(self._container.id)["State"]
            if state["Status"] != "running":
                why = "out of memory" if state.get("OOMKilled") else f"exit code {state.get('ExitCode')}"
                raise EnvironmentFailure(f"container {self.name} stopped while a command ran in it ({why})")
            time.sleep(0.2 if code == _KILLED else 0.0)
        return code


def one_line(said: bytes | bytearray) -> str:
    """The end of what a program complained about."""
    return " ".join(said.decode("utf-8", errors="replace").split())[-500:]


def _send(raw: socket.socket, data: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it wants no more of it
        while chunk := data.read(_CHUNK):
            raw.sendall(chunk)


def _create_options(limits: Limits, workdir: str) -> dict[str, Any]:
    cpus = min(limits.cpus, engine_cpus())
    return {
        # The first process of a box cannot be killed from inside it, so nothing in the box can end the box; a shell
        # as that process also reaps what commands leave behind.
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
