"""The tasks that a recipe names."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from environments.math.tasks import BENCHMARKS, MathTask, MathTaskError, load_math_tasks
from environments.rows import file_rows, hub_rows, is_hub_name
from environments.swe.tasks import (
    HUB_NAMES,
    Reference,
    SWETask,
    TaskError,
    load_references,
    load_tasks,
    select_tasks,
)
from harness.cli import UserError
from harness.config.tables import TasksTable
from harness.demo.instances import demo_instances
from harness.demo.math import problems_path


def all_swe_tasks(table: TasksTable) -> tuple[SWETask, ...]:
    """Every task of the source. Raises TaskError."""
    if table.source == "demo":
        return demo_instances()
    return load_tasks(table.source, split=table.split, columns_from=table.columns_from)


def filtered(tasks: tuple[SWETask, ...], table: TasksTable) -> tuple[SWETask, ...]:
    """Those that pass the table's filters. Raises TaskError."""
    return select_tasks(tasks, ids=table.ids, repos=table.repos, regex=table.regex, span=table.slice)


def load_swe_tasks(table: TasksTable) -> tuple[SWETask, ...]:
    """Raises TaskError."""
    return filtered(all_swe_tasks(table), table)


def math_tasks(table: TasksTable) -> tuple[MathTask, ...]:
    """The problems that pass the table's filters. Raises UserError."""
    if table.repos or table.columns_from:
        raise UserError("tasks.repos and tasks.columns_from are for the domain swe", exit_code=2)
    source = str(problems_path()) if table.source == "demo" else table.source
    try:
        tasks = load_math_tasks(source, split=table.split, path=table.path)
        return select_tasks(tasks, ids=table.ids, regex=table.regex, span=table.slice)
    except (MathTaskError, TaskError) as error:
        raise UserError(str(error), exit_code=2) from error


def evaluation_set(source: str) -> Sequence[SWETask | Reference | MathTask]:
    """All tasks of a set by its name alone: of SWE-bench's shape, or mathematical problems. Raises UserError.

    The rows of a file, or of a table on the hub, say which of the two they are.
    """
    try:
        if source == "demo":
            return demo_instances()
        if source == "math-demo":
            return load_math_tasks(str(problems_path()))
        if source in HUB_NAMES or (source not in BENCHMARKS and _has_issues(source)):
            return load_references(source)
        return load_math_tasks(source)
    except (TaskError, MathTaskError) as error:
        raise UserError(str(error), exit_code=2) from error


def _has_issues(source: str) -> bool:
    """Whether the first row has an issue's text. Raises TaskError."""
    if is_hub_name(source):
        rows = hub_rows(source, "test", error=TaskError)
    else:
        names = ("demo", "math-demo", *HUB_NAMES, *BENCHMARKS)
        rows = file_rows(Path(source).expanduser(), names=names, error=TaskError)
    return any("problem_statement" in row for row, _ in islice(rows, 1))
