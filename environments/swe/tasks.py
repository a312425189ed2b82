"""SWE-bench instances from the hub or a file, in swebench 5's shape or the older one of 13 columns."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol, TypeVar

from environments.rows import Row, file_rows, hub_rows, is_hub_name

# Short names of the published sets.
HUB_NAMES: Mapping[str, str] = {
    "verified": "SWE-bench/SWE-bench_Verified",
    "lite": "SWE-bench/SWE-bench_Lite",
    "full": "SWE-bench/SWE-bench",
}

_REQUIRED = ("instance_id", "repo", "base_commit", "problem_statement", "patch", "test_patch")
_HOW_TO_RUN = ("image", "eval_script", "log_parser", "eval_type")  # what rows of the older shape lack


class TaskError(ValueError):
    """Tasks that cannot be had; the message says which, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What there is to know of an instance without a way to run it, with SWE-bench's own names."""

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
        """Files that the reference fix touches and that exist before it, in its order."""
        return tuple(
            path
            for path in re.findall(r"^--- (?:a/)?(.+?)(?:\t.*)?$", self.patch, re.M)
            if path != "/dev/null"
        )

    @property
    def test_files(self) -> tuple[str, ...]:
        """Files that the test patch leaves behind, in its order."""
        return tuple(
            path
            for path in re.findall(r"^\+\+\+ (?:b/)?(.+?)(?:\t.*)?$", self.test_patch, re.M)
            if path != "/dev/null"
        )


def load_tasks(source: str, *, split: str = "test", columns_from: str | None = None) -> tuple[SWETask, ...]:
    """Tasks of a published set (``verified``, ``lite``, ``full``, or a hub name), or of a local file.

    Files are ``.jsonl``, ``.json`` (a list, or an object by id), either also with ``.gz``, or ``.parquet``.
    Rows of the older shape say nothing of images and test commands: these are taken from ``columns_from``
    (another source in the newer shape), by id, else from a row of the same repository and version.
    Raises TaskError.
    """
    rows = list(_rows(source, split))
    missing = [row for row, _ in rows if not all(row.get(key) for key in _HOW_TO_RUN)]
    table: Sequence[Mapping[str, Any]] = ()
    if missing:
        if columns_from is None:
            raise TaskError(
                f"{source}: {len(missing)} of {len(rows)} rows lack {', '.join(_HOW_TO_RUN)} (the older shape of "
                "SWE-bench): name a set in the newer shape to take them from (tasks.columns_from: verified, or a file)"
            )
        table = [row for row, _ in _rows(columns_from, split)]
    complete = _Columns(table)
    tasks = tuple(_task(complete.fill(row), where) for row, where in rows)
    seen: set[str] = set()
    for task in tasks:
        if task.instance_id in seen:
            raise TaskError(f"{source}: {task.instance_id} is there twice")
        seen.add(task.instance_id)
    return tasks


def load_references(source: str, *, split: str = "test") -> tuple[Reference, ...]:
    """The instances of a source, as :func:`load_tasks` takes it, of either shape of rows. Raises TaskError."""
    names = tuple(Reference.__dataclass_fields__)
    found = []
    for row, where in _rows(source, split):
        for key in names:
            if row.get(key) is None:
                raise TaskError(f"{where}: the row has no {key}; it has {', '.join(sorted(row))}")
        found.append(Reference(**{key: str(row[key]) for key in names}))
    return tuple(found)


class _Named(Protocol):
    @property
    def instance_id(self) -> str: ...


T = TypeVar("T", bound=_Named)


def select_tasks(
    tasks: Sequence[T],
    *,
    ids: Sequence[str] = (),
    repos: Sequence[str] = (),
    regex: str | None = None,
    span: str | None = None,
) -> tuple[T, ...]:
    """The tasks of any kind that pass every filter given: ids, repositories, a pattern of the id, a Python slice.

    >>> select_tasks((), span="0:2")
    ()

    Raises TaskError for an id or repository that is not there, and if nothing is left.
    """
    known = [task.instance_id for task in tasks]
    repositories = [getattr(task, "repo", "") for task in tasks]
    for wanted, names, what in ((ids, known, "instance"), (repos, repositories, "repository")):
        for name in wanted:
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise TaskError(f"no {what} {name} among the {len(tasks)} tasks{hint}")
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
        raise TaskError(f"tasks.slice {text!r} is no slice: write start:stop or start:stop:step")
    return slice(*numbers)


def _rows(source: str, split: str) -> Iterator[tuple[Row, str]]:
    """Rows and where each stands."""
    if source in HUB_NAMES or is_hub_name(source):
        return hub_rows(HUB_NAMES.get(source, source), split, error=TaskError)
    return file_rows(Path(source).expanduser(), names=HUB_NAMES, error=TaskError)


def _task(row: Row, where: str) -> SWETask:
    for key in (*_REQUIRED, "FAIL_TO_PASS", "PASS_TO_PASS"):
        if row.get(key) is None:
            raise TaskError(f"{where}: the row has no {key}; it has {', '.join(sorted(row))}")
    names: dict[str, Any] = {}
    for key in ("FAIL_TO_PASS", "PASS_TO_PASS"):
        value = row[key]
        try:
            value = json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise TaskError(f"{where}: {key} is not a JSON list: {error}") from error
        if not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
            raise TaskError(f"{where}: {key} is not a list of test names")
        names[key] = tuple(value)
    texts: dict[str, Any] = {key: str(row[key]) for key in (*_REQUIRED, *_HOW_TO_RUN)}
    return SWETask(**texts, **names, version=str(row.get("version") or ""))


class _Columns:
    """What the older shape lacks, by id, else by repository and version."""

    def __init__(self, table: Sequence[Row]) -> None:
        self._by_id = {row["instance_id"]: row for row in table}
        self._by_version: dict[tuple[str, str], Row] = {}
        for row in table:
            self._by_version.setdefault((row["repo"], str(row.get("version"))), row)

    def fill(self, row: Row) -> Row:
        if all(row.get(key) for key in _HOW_TO_RUN):
            return row
        if known := self._by_id.get(row["instance_id"]):
            return {**row, **{key: known[key] for key in _HOW_TO_RUN}}
        like = self._by_version.get((row["repo"], str(row.get("version"))))
        if like is None:
            raise TaskError(
                f"{row['instance_id']}: nothing says how its tests run: no row of tasks.columns_from has its id, or "
                f"its repository and version ({row['repo']} {row.get('version')})"
            )
        return {
            **row,
            "eval_script": script_like(like, row),
            "log_parser": like["log_parser"],
            "eval_type": like["eval_type"],
            "image": official_image(row["instance_id"]),
        }


def official_image(instance_id: str) -> str:
    """Name of the image that SWE-bench publishes for an instance.

    >>> official_image("sympy__sympy-15345")
    'swebench/sweb.eval.x86_64.sympy_1776_sympy-15345:latest'
    """
    return f"swebench/sweb.eval.x86_64.{instance_id.lower().replace('__', '_1776_')}:latest"


def script_like(known: Row, row: Row) -> str:
    """The eval script of ``row``, made from that of a row of the same repository and version.

    The two differ in the base commit, the test patch, and the test files that are named.
    """
    script = str(known["eval_script"])
    mine, theirs = _patch_files(row["test_patch"]), _patch_files(known["test_patch"])
    script = script.replace(known["base_commit"], row["base_commit"])
    script = script.replace(known["test_patch"].rstrip("\n"), row["test_patch"].rstrip("\n"))
    lines = script.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("git checkout "):
            lines[number] = line.replace(" ".join(theirs), " ".join(mine))
        elif number and "Start Test Output" in lines[number - 1]:
            lines[number] = line.replace(_directives(known, theirs), _directives(row, mine))
    return "\n".join(lines)


def _patch_files(patch: str) -> list[str]:
    return re.findall(r"^diff --git a/.* b/(.*)$", patch, re.M)


# Fixtures and data that SWE-bench does not pass to the test command.
_NO_TESTS = (".json", ".png", ".csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml")


def _directives(row: Row, files: Sequence[str]) -> str:
    """What the test command is given: files, or for Django the modules that they are."""
    chosen = [path for path in files if not path.endswith(_NO_TESTS)]
    if row["repo"] == "django/django":
        modules = (path.removesuffix(".py").removeprefix("tests/").replace("/", ".") for path in chosen)
        return " ".join(modules)
    return " ".join(chosen)
