"""The tasks that a recipe names."""

from environments.swe.tasks import SWETask, load_tasks, select_tasks
from harness.config import TasksTable
from harness.demo.instances import demo_instances


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
