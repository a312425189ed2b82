"""Read the sources of the demo, ``repositories/<name>/`` and ``tasks/<name>.yaml``, and the states they describe.

A state of a repository is a dict of texts by relative path. The repository on disk is the correct package with its
visible tests; a task introduces a bug and has additional tests.

A task file is a list of tasks::

    - issue: text as a user wrote it
      bug:
        - {path: pkg/a.py, correct: text that occurs once, buggy: text in its place}
      tests: {tests/test_a.py: text added at the end of this file}
      script:
        - {thought: why, bash: command}
        - {thought: why, view: /testbed/pkg/a.py, range: [1, 20]}
        - {thought: why, replace: /testbed/pkg/a.py, old: text, new: text}
        - {thought: why, insert: /testbed/pkg/a.py, line: 3, text: text}
        - {thought: why, create: /testbed/b.py, text: text}
        - {thought: why, undo: /testbed/b.py}
        - {thought: why, submit: true}
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from trajectories.types import JSON, Action

Files = dict[str, str]
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Replacement:
    path: str
    correct: str
    buggy: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """A task as written by hand, before anything is run."""

    repository: str
    number: int  # from 1, within the repository
    issue: str
    bug: tuple[Replacement, ...]
    tests: Mapping[str, str]  # path -> text appended to it
    script: tuple[tuple[str, Action], ...]  # (thought, action) per step

    @property
    def instance_id(self) -> str:
        return f"demo__{self.repository}-{self.number}"

    @property
    def statement(self) -> str:
        """The task as the agent reads it: the issue, and the location of the code."""
        return f"{self.issue}\n\nThe repository is in /testbed, its package in /testbed/{self.repository}."

    def correct(self) -> Files:
        return _read_repository(self.repository)

    def buggy(self) -> Files:
        files = self.correct()
        for change in self.bug:
            if files[change.path].count(change.correct) != 1:
                raise ValueError(
                    f"{self.instance_id}: is not exactly once in {change.path}: {change.correct!r}"
                )
            files[change.path] = files[change.path].replace(change.correct, change.buggy)
        return files

    def with_tests(self, files: Files) -> Files:
        """Return the files with the task's tests, which replace the agent's versions of those test files."""
        known = self.correct()
        before = {path: f"{known[path]}\n\n" if path in known else "" for path in self.tests}
        return {**files, **{path: before[path] + text for path, text in self.tests.items()}}


def load_sources() -> tuple[Source, ...]:
    """Return all tasks, ordered by repository and number."""
    return tuple(
        _source(path.stem, number, row)
        for path in sorted((_FOLDER / "tasks").glob("*.yaml"))
        for number, row in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), 1)
    )


def _read_repository(name: str) -> Files:
    root = _FOLDER / "repositories" / name
    return {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def _source(repository: str, number: int, row: JSON) -> Source:
    return Source(
        repository=repository,
        number=number,
        issue=row["issue"].strip(),
        bug=tuple(Replacement(**change) for change in row["bug"]),
        tests=row["tests"],
        script=tuple((step["thought"].strip(), _action(step)) for step in row["script"]),
    )


def _editor(command: str, path: str, **arguments: JSON) -> Action:
    return Action(name="str_replace_editor", arguments={"command": command, "path": path, **arguments})


def _view(step: Mapping[str, JSON]) -> Action:
    view_range = {"view_range": step["range"]} if "range" in step else {}
    return _editor("view", step["view"], **view_range)


_ACTIONS: dict[str, Callable[[Mapping[str, JSON]], Action]] = {
    "bash": lambda step: Action(name="bash", arguments={"command": step["bash"]}),
    "view": _view,
    "replace": lambda s: _editor("str_replace", s["replace"], old_str=s["old"], new_str=s["new"]),
    "insert": lambda s: _editor("insert", s["insert"], insert_line=s["line"], new_str=s["text"]),
    "create": lambda s: _editor("create", s["create"], file_text=s["text"]),
    "undo": lambda s: _editor("undo_edit", s["undo"]),
    "submit": lambda step: Action(name="submit"),
}


def _action(step: Mapping[str, JSON]) -> Action:
    (kind,) = _ACTIONS.keys() & step.keys()
    return _ACTIONS[kind](step)
