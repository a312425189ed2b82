"""The sandbox that a policy works in: the agent's tools in a container."""

import errno
import io
import os
import posixpath
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from environments.failures import SandboxExpired
from environments.sandbox.container import Container
from environments.sandbox.diff import submission
from environments.tools.bash import CommandResult, observation
from environments.tools.toolbox import Toolbox

FILE_LIMIT = 10_000_000  # bytes of a file that can be read or edited
_LISTING_LIMIT = 2_000_000  # bytes of a folder's listing
_FILE_SECONDS = 60.0  # for one access to a file

# Exit codes of the scripts below, for the errors that Python's own calls would raise.
_ERRNO = {101: errno.ENOENT, 102: errno.EISDIR, 103: errno.EEXIST, 104: errno.EINVAL, 105: errno.ENOTDIR}
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
# The variables of a shell and of a login shell; the latter's greeting is between two empty entries.
_LOGIN = r"""env -0; printf '\0'; exec bash -lc "printf '\0\0'; exec env -0" """


class AgentSandbox(AbstractContextManager["AgentSandbox"]):
    """A single-use sandbox over a container that was just started; ``close`` (or ``with``) removes it.

    A failed call is an observation; a broken sandbox raises EnvironmentFailure. When the container's lifetime is over,
    every call except ``submission`` raises SandboxExpired, a TimeoutError: a scaffold's status ``time_limit``.
    """

    def __init__(self, container: Container) -> None:
        """Take over the container. Raises EnvironmentFailure, with the container closed."""
        self.container = container
        self._files = ContainerFiles(container)
        self._tools = Toolbox(bash=self._bash, files=self._files)
        try:
            self._env = login_environment(container)
        except BaseException:
            container.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.container.close()

    @property
    def submitted(self) -> bool:
        return self._tools.submitted

    def execute(self, name: str, arguments: Mapping[str, object]) -> str:
        """Run one tool call and return the observation. Raises EnvironmentFailure, SandboxExpired."""
        self._seconds(None)
        return self._tools.execute(name, arguments)

    def run(self, command: str, *, timeout: float | None = None) -> CommandResult:
        """Run a shell command in the repository; ``timeout`` in seconds. Raises EnvironmentFailure, SandboxExpired."""
        return self.container.run(command, timeout=self._seconds(timeout), env=self._env)

    def read(self, path: str) -> str | None:
        """Return the text of a repository file, None if there is none. Raises EnvironmentFailure, SandboxExpired."""
        self._seconds(None)
        try:
            return self._files.read(self._inside(path)).decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def write(self, path: str, text: str) -> None:
        """Replace or create a file, and its folders. Raises EnvironmentFailure, SandboxExpired, OSError."""
        self._seconds(None)
        self.container.write(self._inside(path), text.encode("utf-8", errors="surrogateescape"))

    def submission(self) -> str:
        """Return the diff from the image's state to the present one, with new files and git's binary patches.

        The state of git in the sandbox does not matter. Bytes that are not UTF-8 are lone surrogates
        (``errors="surrogateescape"``). Raises EnvironmentFailure, UnusableSubmission.
        """
        return submission(self.container)

    def _bash(self, command: str) -> str:
        timeout = self._seconds(None)
        return observation(self.run(command, timeout=timeout), timeout=timeout)

    def _seconds(self, timeout: float | None) -> float:
        """Return the time limit of the next command. Raises SandboxExpired."""
        limits, left = self.container.limits, self.container.seconds_left
        if left <= 0:
            raise SandboxExpired(f"the sandbox's lifetime of {limits.sandbox_seconds:g} s is over")
        return min(limits.command_seconds if timeout is None else timeout, left)

    def _inside(self, path: str) -> str:
        """Return the absolute path of a file in the repository. Raises OSError for a path outside of it."""
        root = self.container.workdir
        absolute = posixpath.normpath(posixpath.join(root, path))
        if not absolute.startswith(f"{root}/"):
            raise FileNotFoundError(errno.ENOENT, "outside of the repository", path)
        return absolute


def login_environment(container: Container) -> dict[str, str]:
    """Return the variables that a login shell of the image sets: published images activate their Python there.

    Called once per sandbox, as activation takes most of a second. Its additions to PATH precede the image's own.
    Raises EnvironmentFailure.
    """
    done = container.script(_LOGIN, max_output=_LISTING_LIMIT)
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
    """The editor's access to a container's files: one script per access, with the path as an argument."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def read(self, path: str) -> bytes:
        data = self._call(_READ, path, str(FILE_LIMIT + 1), limit=FILE_LIMIT + 1)
        if len(data) > FILE_LIMIT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return data

    def write(self, path: str, data: bytes, *, new: bool = False) -> None:
        exists = '[ -e "$1" ] && exit 103\n' if new else ""
        self._call(exists + _WRITE, path, str(len(data)), stdin=data)

    def remove(self, path: str) -> None:
        self._call('exec rm -f -- "$1"', path)

    def entries(self, folder: str) -> Sequence[str]:
        listing = self._call(_ENTRIES, folder, limit=_LISTING_LIMIT)
        found = listing.decode("utf-8", errors="surrogateescape")
        return sorted(found.split("\0")[:-1], key=lambda entry: entry.rstrip("/").split("/"))

    def _call(self, script: str, path: str, *more: str, limit: int = 0, stdin: bytes | None = None) -> bytes:
        """Return a script's output. Raises EnvironmentFailure, and OSError like the corresponding call of Python."""
        if "\0" in path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        seconds = min(_FILE_SECONDS, self._container.limits.command_seconds)
        data = None if stdin is None else io.BytesIO(stdin)
        done = self._container.script(script, path, *more, max_output=limit, timeout=seconds, stdin=data)
        if done.exit_code == 0:
            return done.output
        if number := _ERRNO.get(done.exit_code or 0):
            raise OSError(number, os.strerror(number), path)
        # A program's message ends with the system's: "head: cannot open 'a' for reading: Permission denied".
        raise OSError(errno.EIO, done.error.rpartition(": ")[2] or os.strerror(errno.EIO), path)
