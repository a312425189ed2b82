"""The scaffolds' environment over a LocalSandbox. FOR SCRIPTED ACTIONS ONLY, like the sandbox itself."""

import dataclasses
import re
import shlex
from collections.abc import Mapping
from typing import Any

from environments.sandbox.local import LocalSandbox
from environments.tools import bash
from harness.demo import record
from harness.demo.sources import Source
from srl_agent.scaffolds import ScaffoldTask


class LocalEnvironment:
    """``calls``: the number of calls after which the sandbox's time is over, as a container's can be."""

    def __init__(self, files: Mapping[str, str], *, calls: int = 1000) -> None:
        self.sandbox = LocalSandbox(files)
        self._calls = calls
        self.executed: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> "LocalEnvironment":
        return self

    def __exit__(self, *error: object) -> None:
        self.sandbox.close()

    def _count(self) -> None:
        self._calls -= 1
        if self._calls < 0:
            raise TimeoutError("the sandbox's time is over")

    def execute(self, name: str, arguments: Mapping[str, Any]) -> str:
        self._count()
        self.executed.append((name, dict(arguments)))
        return self.sandbox.execute(name, arguments)

    def run(self, command: str, *, timeout: float | None = None) -> bash.CommandResult:
        self._count()
        root = self.sandbox._root
        inside = re.sub(r"/testbed(?![\w-])", shlex.quote(str(root)), command)
        result = bash.run_command(inside, cwd=root, env=self.sandbox._env, timeout=timeout or 60)
        return dataclasses.replace(result, output=result.output.replace(str(root), "/testbed"))

    def read(self, path: str) -> str | None:
        self._count()
        file = self.sandbox._root / path
        return file.read_bytes().decode() if file.is_file() else None

    def write(self, path: str, text: str) -> None:
        self._count()
        file = self.sandbox._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())

    def submission(self) -> str:
        return self.sandbox.submission()


def demo_task(source: Source) -> ScaffoldTask:
    return ScaffoldTask(
        instance_id=source.instance_id,
        repo=f"demo/{source.repository}",
        problem_statement=source.statement,
        shown_files=tuple(dict.fromkeys(change.path for change in source.bug)),
    )


def resolves(source: Source, patch: str | None) -> bool:
    """The judgement of the demo's own tests: the patch on the buggy state, then all tests of the task."""
    if not patch:
        return False
    with LocalSandbox(source.buggy()) as sandbox:
        sandbox.write({"change.patch": patch})
        assert "[exit code" not in sandbox.execute("bash", {"command": "git apply change.patch"})
        files = {name: text for name, text in sandbox.files().items() if name != "change.patch"}
    return all(record.run_tests(source.with_tests(files)).values())
