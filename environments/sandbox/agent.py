"""The box that a policy works in: the agent's tools over a container."""

import errno
import io
import os
import posixpath
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from environments.failures import BoxExpired
from environments.sandbox.container import Container
from environments.sandbox.diff import submission
from environments.tools.bash import CommandResult, observation
from environments.tools.toolbox import Toolbox

FILE_LIMIT = 10_000_000  # bytes of a file that can be read or edited
_LISTING_LIMIT = 2_000_000  # bytes of a folder's listing
_FILE_SECONDS = 60.0  # for one access to a file

# Exit codes of the scripts below, by which they tell what Python's own calls would raise.
_FAULTS = {101: errno.ENOENT, 102: errno.EISDIR, 103: errno.EEXIST, 104: errno.EINVAL, 105: errno.ENOTDIR}
_READ = """
[ -e "$1" ] || exit 101; [ -d "$1" ] && exit 102; [ -f "$1" ] || exit 104; exec head -c "$2" -- "$1"
"""
_WRITE = """
[ -d "$1" ] && exit 102; [ ! -e "$1" ] || [ -f "$1" ] || exit 104
[ -d "${1%/*}/" ] || exit 101; exec head -c "$2" > "$1"
"""
_ENTRIES = """
[ -e "$1" ] || exit 101; [ -d "$1" ] || exit 105
shopt -s nullglob; cd -- "$1" || exit 1
mark() { if [ -d "$1" ]; then printf '%s/\\0' "$1"; else printf '%s\\0' "$1"; fi; }
for one in *; do mark "$one"; if [ -d "$one" ]; then for two in "$one"/*; do mark "$two"; done; fi; done
"""
# The variables of a shell and of a login shell; what the latter greets with stands between two empty entries.
_LOGIN = r"""env -0; printf '\0'; exec bash -lc "printf '\0\0'; exec env -0" """


class AgentBox:
    """A single-use box over a container that was just started; ``close`` (or ``with``) removes it.

    What fails is an observation; a box that broke raises EnvironmentFailure. When the container's life is over
    every call but ``submission`` raises BoxExpired, a TimeoutError: a scaffold's status ``time_limit``.
    """

    def __init__(self, container: Container) -> None:
        """The container is the box's from now on. Raises EnvironmentFailure, with the container closed."""
        self.container = container
        self._tools = Toolbox(bash=self._bash, files=ContainerFiles(container))
        try:
            self._env = login_environment(container)
        except BaseException:
            container.close()
            raise

    def __enter__(self) -> "AgentBox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.container.close()

    @property
    def submitted(self) -> bool:
        return self._tools.submitted

    def execute(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Run one tool call and return what the agent sees. Raises EnvironmentFailure, BoxExpired."""
        self._seconds(None)
        return self._tools.execute(name, arguments)

    def run(self, command: str, *, timeout: float | None = None) -> CommandResult:
        """Run a shell command in the repository; ``timeout`` in seconds. Raises EnvironmentFailure, BoxExpired."""
        return self.container.run(command, timeout=self._seconds(timeout), env=self._env)

    def read(self, path: str) -> str | None:
        """Text of a file, ``path`` relative to the repository; None if there is no such text file.

        Raises EnvironmentFailure, BoxExpired.
        """
        self._seconds(None)
        try:
            return ContainerFiles(self.container).read(self._inside(path)).decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def write(self, path: str, text: str) -> None:
        """Replace or create a file, and its folders. Raises EnvironmentFailure, BoxExpired, OSError if it cannot be."""
        self._seconds(None)
        self.container.write(self._inside(path), text.encode("utf-8", errors="surrogateescape"))

    def submission(self) -> str:
        """The diff from the image's state to the present one, new files included, binary files as git encodes them.

        Whatever was done to git in the box does not matter. Bytes that are not UTF-8 come as half surrogates
        (``errors="surrogateescape"``). Raises EnvironmentFailure, UnusableSubmission.
        """
        return submission(self.container)

    def _bash(self, command: str) -> str:
        timeout = self._seconds(None)
        return observation(self.run(command, timeout=timeout), timeout=timeout)

    def _seconds(self, timeout: float | None) -> float:
        """For the next command. Raises BoxExpired."""
        left = self.container.seconds_left
        if left <= 0:
            raise BoxExpired(f"the box's life of {self.container.limits.box_seconds:g} s is over")
        return min(self.container.limits.command_seconds if timeout is None else timeout, left)

    def _inside(self, path: str) -> str:
        """Absolute path of a file of the repository. Raises OSError for any other: no edit belongs there."""
        root = self.container.workdir
        absolute = posixpath.normpath(posixpath.join(root, path))
        if not absolute.startswith(f"{root}/"):
            raise FileNotFoundError(errno.ENOENT, "outside of the repository", path)
        return absolute


def login_environment(container: Container) -> dict[str, str]:
    """Variables that a login shell of the image sets: published images activate their Python there.

    Found once, as activating takes a good part of a second. What it adds to PATH goes in front of the image's own.
    Raises EnvironmentFailure.
    """
    done = container.script(_LOGIN, keep=_LISTING_LIMIT)
    before, _, rest = done.output.decode("utf-8", errors="replace").partition("\0\0")
    plain, login = (_variables(text) for text in (before, rest.rpartition("\0\0")[2]))
    changed = {name: value for name, value in login.items() if plain.get(name) != value}
    for name in ("_", "PWD", "OLDPWD", "SHLVL", "PATH"):
        changed.pop(name, None)
    paths = plain.get("PATH", "").split(":")
    added = [path for path in login.get("PATH", "").split(":") if path not in paths]
    return {**changed, "PATH": ":".join([*added, *paths])} if added else changed


def _variables(text: str) -> dict[str, str]:
    return {name: value for name, sign, value in (line.partition("=") for line in text.split("\0")) if sign}


class ContainerFiles:
    """The files of a container, for the editor. Every access is a call of its own, the path one of its arguments."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def read(self, path: str) -> bytes:
        data = self._call(_READ, path, str(FILE_LIMIT + 1), keep=FILE_LIMIT + 1)
        if len(data) > FILE_LIMIT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return data

    def write(self, path: str, data: bytes, *, new: bool = False) -> None:
        exists = '[ -e "$1" ] && exit 103\n' if new else ""
        self._call(exists + _WRITE, path, str(len(data)), stdin=data)

    def remove(self, path: str) -> None:
        self._call('exec rm -f -- "$1"', path)

    def entries(self, folder: str) -> Sequence[str]:
        found = self._call(_ENTRIES, folder, keep=_LISTING_LIMIT).decode("utf-8", errors="surrogateescape")
        return sorted(found.split("\0")[:-1], key=lambda entry: entry.rstrip("/").split("/"))

    def _call(self, script: str, path: str, *more: str, keep: int = 0, stdin: bytes | None = None) -> bytes:
        """Output of a script. Raises OSError as the like-named call of Python would, EnvironmentFailure."""
        if "\0" in path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        seconds = min(_FILE_SECONDS, self._container.limits.command_seconds)
        sent = None if stdin is None else io.BytesIO(stdin)
        done = self._container.script(script, path, *more, keep=keep, timeout=seconds, stdin=sent)
        if done.exit_code == 0:
            return done.output
        if number := _FAULTS.get(done.exit_code or 0):
            raise OSError(number, os.strerror(number), path)
        # A program's message ends in what the system said: "head: cannot open 'a' for reading: Permission denied".
        raise OSError(errno.EIO, done.complaint.rpartition(": ")[2] or os.strerror(errno.EIO), path)
