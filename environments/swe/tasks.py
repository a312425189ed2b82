"""Load SWE-bench instances from the hub or a file, in swebench 5's schema or the older one of 13 columns."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol, TypeVar

from environments.rows import Located, Row, file_rows, hub_rows, is_hub_name

# Short names of the published sets.
HUB_NAMES: Mapping[str, str] = {
    "verified": "SWE-bench/SWE-bench_Verified",
    "lite": "SWE-bench/SWE-bench_Lite",
    "full": "SWE-bench/SWE-bench",
}

_REQUIRED = ("instance_id", "repo", "base_commit", "problem_statement", "patch", "test_patch")
_EXECUTION = ("image", "eval_script", "log_parser", "eval_type")  # columns that the older schema lacks


class TaskError(ValueError):
    """Tasks that cannot be loaded; the message says which, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The columns of an instance that both schemas have, with SWE-bench's own names."""

    instance_id: str
    repo: str  # owner/name
    base_commit: str
    problem_statement: str
    patch: str  # the reference fix


@dataclass(frozen=True, kw_only=True)
class SWETask:
    """One instance, with SWE-bench's own names."""

    instance_id: str
    repo: str  # owner/name
    base_commit: str
    problem_statement: str
    patch: str  # the reference fix
    test_patch: str
    FAIL_TO_PASS: tuple[str, ...]
    PASS_TO_PASS: tuple[str, ...]
    version: str
    image: str
    eval_script: str  # restores and patches the test files, runs them between two markers
    log_parser: str  # a name in swebench's PARSER_REGISTRY
    eval_type: str = "pass_and_fail"

    @property
    def patched_files(self) -> tuple[str, ...]:
        """Existing files that the reference fix changes, in its order."""
        return _named_files(r"^--- (?:a/)?(.+?)(?:\t.*)?$", self.patch)

    @property
    def test_files(self) -> tuple[str, ...]:
        """Files that exist after the test patch, in its order."""
        return _named_files(r"^\+\+\+ (?:b/)?(.+?)(?:\t.*)?$", self.test_patch)


def _named_files(pattern: str, patch: str) -> tuple[str, ...]:
    return tuple(path for path in re.findall(pattern, patch, re.M) if path != "/dev/null")


def load_tasks(source: str, *, split: str = "test", columns_from: str | None = None) -> tuple[SWETask, ...]:
    """Load the tasks of a published set (``verified``, ``lite``, ``full``, or a hub name), or of a local file.

    Files are ``.jsonl``, ``.json`` (a list, or an object by id), either also with ``.gz``, or ``.parquet``.
    Rows of the older schema have no images and test commands: these are taken from ``columns_from``, another source in
    the newer schema, from the row with the same id, else from one with the same repository and version.
    Raises TaskError.
    """
    rows = list(_rows(source, split))
    missing = [row for row, _ in rows if not all(row.get(key) for key in _EXECUTION)]
    table: Sequence[Row] = ()
    if missing:
        if columns_from is None:
            raise TaskError(
                f"{source}: {len(missing)} of {len(rows)} rows lack {', '.join(_EXECUTION)} (the older schema of "
                "SWE-bench): name a set in the newer schema to take them from (tasks.columns_from: verified, or a file)"
            )
        table = [row for row, _ in _rows(columns_from, split)]
    complete = _Columns(table)
    tasks = tuple(_task(complete.fill(row), where) for row, where in rows)
    seen: set[str] = set()
    for task in tasks:
        if task.instance_id in seen:
            raise TaskError(f"{source}: duplicate {task.instance_id}")
        seen.add(task.instance_id)
    return tasks


def load_references(source: str, *, split: str = "test") -> tuple[Reference, ...]:
    """Load the instances of a source (see :func:`load_tasks`) with rows of either schema. Raises TaskError."""
    names = tuple(Reference.__dataclass_fields__)
    found = []
    for row, where in _rows(source, split):
        for key in names:
            if row.get(key) is None:
                raise TaskError(f"{where}: the row has no {key}; it has {', '.join(sorted(row))}")
        found.append(Reference(**{key: str(row[key]) for key in names}))
    return tuple(found)


class HasInstanceId(Protocol):
    @property
    def instance_id(self) -> str: ...


T = TypeVar("T", bound=HasInstanceId)


def select_tasks(
    tasks: Sequence[T],
    *,
    ids: Sequence[str] = (),
    repos: Sequence[str] = (),
    regex: str | None = None,
    span: str | None = None,
) -> tuple[T, ...]:
    """Return the tasks (of any domain) that pass every given filter: ids, repositories, a regex on the id, a slice.

    >>> select_tasks((), span="0:2")
    ()

    Raises TaskError for an unknown id or repository, and if no task is left.
    """
    known = [task.instance_id for task in tasks]
    repositories = [getattr(task, "repo", "") for task in tasks]
    for wanted, names, kind in ((ids, known, "instance"), (repos, repositories, "repository")):
        for name in wanted:
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise TaskError(f"no {kind} {name} among the {len(tasks)} tasks{hint}")
    chosen = [
        task
        for task, repository in zip(tasks, repositories, strict=True)
        if (not ids or task.instance_id in ids)
        and (not repos or repository in repos)
        and (regex is None or re.search(_pattern(regex), task.instance_id))
    ]
    if span is not None:
        chosen = chosen[_slice(span)]
    if tasks and not chosen:
        raise TaskError(f"no task is left of {len(tasks)}: the filters exclude all of them")
    return tuple(chosen)


def _pattern(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise TaskError(f"tasks.regex {regex!r}: {error}") from error


def _slice(text: str) -> slice:
    parts = text.split(":")
    try:
        numbers = [int(part) if part.strip() else None for part in parts]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= 3 or numbers[2:] == [0]:
        raise TaskError(f"tasks.slice {text!r} is not a slice: write start:stop or start:stop:step")
    return slice(*numbers)


def _rows(source: str, split: str) -> Located:
    if source in HUB_NAMES or is_hub_name(source):
        return hub_rows(HUB_NAMES.get(source, source), split, error=TaskError)
    return file_rows(Path(source).expanduser(), names=HUB_NAMES, error=TaskError)


def _task(row: Row, where: str) -> SWETask:
    for key in (*_REQUIRED, "FAIL_TO_PASS", "PASS_TO_PASS"):
        if row.get(key) is None:
            raise TaskError(f"{where}: the row has no {key}; it has {', '.join(sorted(row))}")
    return SWETask(
        **{key: str(row[key]) for key in (*_REQUIRED, *_EXECUTION)},
        FAIL_TO_PASS=_test_names(row, "FAIL_TO_PASS", where),
        PASS_TO_PASS=_test_names(row, "PASS_TO_PASS", where),
        version=str(row.get("version") or ""),
    )


def _test_names(row: Row, key: str, where: str) -> tuple[str, ...]:
    """Return a column of test names, a list or its JSON text. Raises TaskError."""
    value = row[key]
    try:
        names = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise TaskError(f"{where}: {key} is not a JSON list: {error}") from error
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TaskError(f"{where}: {key} is not a list of test names")
    return tuple(names)


class _Columns:
    """The columns that the older schema lacks, by id, else by repository and version."""

    def __init__(self, table: Sequence[Row]) -> None:
        self._by_id = {row["instance_id"]: row for row in table}
        self._by_version: dict[tuple[object, str], Row] = {}
        for row in table:
            self._by_version.setdefault((row["repo"], str(row.get("version"))), row)

    def fill(self, row: Row) -> Row:
        """Return the row with all columns. Raises TaskError if the table has none for it."""
        if all(row.get(key) for key in _EXECUTION):
            return row
        if known := self._by_id.get(row["instance_id"]):
            return {**row, **{key: known[key] for key in _EXECUTION}}
        similar = self._by_version.get((row["repo"], str(row.get("version"))))
        if similar is None:
            raise TaskError(
                f"{row['instance_id']}: no test command is known: no row of tasks.columns_from has its id, or "
                f"its repository and version ({row['repo']} {row.get('version')})"
            )
        own = {"eval_script": _adapted_script(similar, row), "image": official_image(str(row["instance_id"]))}
        return {**row, **own, "log_parser": similar["log_parser"], "eval_type": similar["eval_type"]}


def official_image(instance_id: str) -> str:
    """Return the name of the image that SWE-bench publishes for an instance.

    >>> official_image("sympy__sympy-15345")
    'swebench/sweb.eval.x86_64.sympy_1776_sympy-15345:latest'
    """
    return f"swebench/sweb.eval.x86_64.{instance_id.lower().replace('__', '_1776_')}:latest"


def _adapted_script(known: Row, row: Row) -> str:
    """Adapt a script of the same repository and version: base commit, test patch and names of test files differ."""
    my_patch, their_patch = str(row["test_patch"]), str(known["test_patch"])
    mine, theirs = _patch_files(my_patch), _patch_files(their_patch)
    script = str(known["eval_script"]).replace(str(known["base_commit"]), str(row["base_commit"]))
    lines = script.replace(their_patch.rstrip("\n"), my_patch.rstrip("\n")).split("\n")
    for number, line in enumerate(lines):
        if line.startswith("git checkout "):
            lines[number] = line.replace(" ".join(theirs), " ".join(mine))
        elif number and "Start Test Output" in lines[number - 1]:
            lines[number] = line.replace(_directives(known, theirs), _directives(row, mine))
    return "\n".join(lines)


def _patch_files(patch: str) -> list[str]:
    return re.findall(r"^diff --git a/.* b/(.*)$", patch, re.M)


# Fixtures and data that SWE-bench does not pass to the test command.
_DATA_FILES = (".json", ".png", ".csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml")


def _directives(row: Row, files: Sequence[str]) -> str:
    """Return the arguments of the test command: files, or for Django their modules."""
    chosen = [path for path in files if not path.endswith(_DATA_FILES)]
    if row["repo"] == "django/django":
        modules = (path.removesuffix(".py").removeprefix("tests/").replace("/", ".") for path in chosen)
        return " ".join(modules)
    return " ".join(chosen)
