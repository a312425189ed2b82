"""The tasks that a recipe names."""

from environments.math.tasks import MathTask, MathTaskError, load_math_tasks
from environments.swe.tasks import SWETask, TaskError, load_tasks, select_tasks
from harness.cli import UserError
from harness.config import TasksTable
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
