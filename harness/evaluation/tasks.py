"""The tasks that a recipe names, and whether the policy was trained on them."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from environments.math.tasks import BENCHMARKS, MathTask, MathTaskError, load_math_tasks
from environments.rows import file_rows, hub_rows, is_hub_name
from environments.swe import tasks as swe
from harness.cli import UsageError, user_errors
from harness.config.evaluation import TrainedTable
from harness.config.tables import TasksTable
from harness.data.contamination_gate import check_evaluation
from harness.demo.instances import demo_instances
from harness.demo.math import problems_path
from trajectories.types import JSON


def all_swe_tasks(table: TasksTable) -> tuple[swe.SWETask, ...]:
    """Load every task of the source. Raises TaskError."""
    if table.source == "demo":
        return demo_instances()
    return swe.load_tasks(table.source, split=table.split, columns_from=table.columns_from)


def filtered(tasks: tuple[swe.SWETask, ...], table: TasksTable) -> tuple[swe.SWETask, ...]:
    """Return the tasks that pass the table's filters. Raises TaskError."""
    return swe.select_tasks(tasks, ids=table.ids, repos=table.repos, regex=table.regex, span=table.slice)


def load_swe_tasks(table: TasksTable) -> tuple[swe.SWETask, ...]:
    """Load the tasks that pass the table's filters. Raises TaskError."""
    return filtered(all_swe_tasks(table), table)


def math_tasks(table: TasksTable) -> tuple[MathTask, ...]:
    """Load the problems that pass the table's filters. Raises UserError."""
    if table.repos or table.columns_from:
        raise UsageError("tasks.repos and tasks.columns_from are for the domain swe")
    source = str(problems_path()) if table.source == "demo" else table.source
    with user_errors(MathTaskError, swe.TaskError, usage=True):
        tasks = load_math_tasks(source, split=table.split, path=table.path)
        return swe.select_tasks(tasks, ids=table.ids, regex=table.regex, span=table.slice)


def evaluation_set(source: str) -> Sequence[swe.SWETask | swe.Reference | MathTask]:
    """Load all tasks of a set by its name alone: SWE tasks, or mathematical problems. Raises UserError.

    The first row of a file, or of a table on the hub, says which of the two they are.
    """
    with user_errors(swe.TaskError, MathTaskError, usage=True):
        if source == "demo":
            return demo_instances()
        if source == "math-demo":
            return load_math_tasks(str(problems_path()))
        if source in swe.HUB_NAMES or (source not in BENCHMARKS and _has_issues(source)):
            return swe.load_references(source)
        return load_math_tasks(source)


def _has_issues(source: str) -> bool:
    """Return whether the first row has an issue's text. Raises TaskError."""
    if is_hub_name(source):
        rows = hub_rows(source, "test", error=swe.TaskError)
    else:
        names = ("demo", "math-demo", *swe.HUB_NAMES, *BENCHMARKS)
        rows = file_rows(Path(source).expanduser(), names=names, error=swe.TaskError)
    return any("problem_statement" in row for row, _ in islice(rows, 1))


def check_tasks(
    tasks: Sequence[swe.SWETask] | Sequence[MathTask], table: TrainedTable
) -> dict[str, JSON] | None:
    """Return the report's table of what was trained on, None if that is not asked.

    Raises UserError where the recipe does not allow what is found.
    """
    if not table.train:
        return None
    files = [Path(name).expanduser() for name in table.train]
    for file in files:
        if not file.is_file():
            raise UsageError(f"contamination.train: no file {file}")
    return {**table.model_dump(mode="json"), **check_evaluation(tasks, files, table).as_table()}
