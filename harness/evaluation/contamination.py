"""Tasks that the policy was trained on."""

from collections.abc import Sequence
from pathlib import Path

from harness.cli import UserError
from harness.config.evaluation import TrainedTable
from harness.data.contamination_gate import Task, check_evaluation
from trajectories.types import JSON


def check_tasks(tasks: Sequence[Task], table: TrainedTable) -> dict[str, JSON] | None:
    """Return the report's table of what was trained on, None if that is not asked.

    Raises UserError where the recipe does not allow what is found.
    """
    if not table.train:
        return None
    files = [Path(name).expanduser() for name in table.train]
    for file in files:
        if not file.is_file():
            raise UserError(f"contamination.train: no file {file}", exit_code=2)
    return {**table.model_dump(mode="json"), **check_evaluation(tasks, files, table).as_table()}
