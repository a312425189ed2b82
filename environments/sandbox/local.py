"""A single-use sandbox on this machine itself. FOR TRUSTED ACTIONS ONLY: our own expert scripts and tests.

**Nothing that a model wrote may ever run here.** There is no isolation: a command has the rights of the user
who started it and sees the whole machine. A policy's actions run in a container.

The repository is written into a temporary folder. The agent knows it as ``/testbed``: commands have this name
replaced by the real folder, and observations the real folder by the name. Commands get a small fixed environment,
so that the same command prints the same text on every machine (as far as the command itself does).
"""

import errno
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from environments.sandbox.archive import pack_folder
from environments.tools import bash
from environments.tools.toolbox import Toolbox

ROOT = "/testbed"
_ROOT = re.compile(r"/testbed(?![\w-])")
_COMMIT_DATE = "2026-01-01T00:00:00+0000"  # fixed, so that equal files have equal commit ids


class LocalSandbox(AbstractContextManager["LocalSandbox"]):
    """A repository given as texts by relative path, committed to git; ``close`` (or ``with``) removes it."""

    def __init__(self, files: Mapping[str, str], *, timeout: float = 60.0) -> None:
        self._timeout = timeout  # seconds, per command
        self._temporary = tempfile.TemporaryDirectory(prefix="srl-agent-sandbox-")
        base = Path(self._temporary.name).resolve()
        self._root = base / "repository"
        self._env = _environment(base)
        self._tools = Toolbox(bash=self._bash, files=LocalFiles(self._root))
        self.write(files)
        self._git("init", "--quiet", "--initial-branch=main")
        # Files that test runs leave are no change of the repository, which has no .gitignore.
        exclude = self._root / ".git/info/exclude"
        exclude.parent.mkdir(exist_ok=True)  # git's template, which makes it, can be another
        exclude.write_text("__pycache__/\n.pytest_cache/\n", encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message=Base")
        self.base_commit = self._git("rev-parse", "HEAD").strip()

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._temporary.cleanup()

    @property
    def submitted(self) -> bool:
        return self._tools.submitted

    def execute(self, name: str, arguments: Mapping[str, object]) -> str:
        """Run one tool call and return the observation; a failed call has one too."""
        return self._hide(self._tools.execute(name, arguments))

    def _bash(self, command: str) -> str:
        command = _ROOT.sub(shlex.quote(str(self._root)), command)
        result = bash.run_command(command, cwd=self._root, env=self._env, timeout=self._timeout)
        return bash.observation(result, timeout=self._timeout)

    def write(self, files: Mapping[str, str]) -> None:
        """Create or replace files."""
        for name, text in files.items():
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))

    def files(self) -> dict[str, str]:
        """Return every file's text by relative path, without git's own files."""
        return {
            str(path.relative_to(self._root)): path.read_bytes().decode("utf-8")
            for path in sorted(self._root.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(self._root).parts
        }

    def archive(self, name: str) -> bytes:
        """Return the repository with git's files as a tar archive of one folder ``name``, owned by root."""
        return pack_folder(self._root, name)

    def submission(self) -> str:
        """Return the diff from the first state to the present one, including new files."""
        self._git("add", "--all")
        return self._git("diff", "--cached", "--no-color", "--no-ext-diff", self.base_commit)

    def _hide(self, text: str) -> str:
        return text.replace(str(self._root), ROOT)

    def _git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self._root, env=self._env, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode("utf-8")


class LocalFiles:
    """The editor's access to this machine's files; paths under ``/testbed`` are those of the repository."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes:
        return self._real(path).read_bytes()

    def write(self, path: str, data: bytes, *, new: bool = False) -> None:
        with self._real(path).open("xb" if new else "wb") as file:
            file.write(data)

    def remove(self, path: str) -> None:
        self._real(path).unlink(missing_ok=True)

    def entries(self, folder: str) -> list[str]:
        found: list[str] = []
        for child in _visible(self._real(folder)):
            found.append(_entry(child.name, child))
            if child.is_dir():
                found.extend(_entry(f"{child.name}/{inner.name}", inner) for inner in _visible(child))
        return found

    def _real(self, path: str) -> Path:
        if "\0" in path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return Path(_ROOT.sub(str(self._root), path, count=1))


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _entry(name: str, path: Path) -> str:
    return f"{name}/" if path.is_dir() else name


def _environment(base: Path) -> dict[str, str]:
    """Return the commands' environment variables; ``python`` is the running interpreter, with its packages."""
    programs, home = base / "bin", base / "home"
    programs.mkdir()
    home.mkdir()
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    return {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C",
        "TZ": "UTC",
        "COLUMNS": "100",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_AUTHOR_NAME": "demo",
        "GIT_AUTHOR_EMAIL": "demo@example.com",
        "GIT_AUTHOR_DATE": _COMMIT_DATE,
        "GIT_COMMITTER_NAME": "demo",
        "GIT_COMMITTER_EMAIL": "demo@example.com",
        "GIT_COMMITTER_DATE": _COMMIT_DATE,
    }
