"""Refuse evaluated tasks that were trained on; the same check for training and evaluation."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from environments.math.tasks import MathTask
from environments.swe.tasks import Reference, SWETask
from harness.cli import UserError
from harness.config.tables import ContaminationTable
from harness.data import contamination
from harness.data.contamination import CAUSES, Contamination, EvaluatedTask, Trained
from trajectories.store import parse_line, read_lines

Task = SWETask | Reference | MathTask

_SHOWN = 20  # matches in a refusal


def check_evaluation(
    tasks: Sequence[Task], files: Sequence[Path], table: ContaminationTable
) -> Contamination:
    """Check tasks against stores that were trained on. Raises UserError for a match that is not allowed."""
    trained = (one for file in files for one in trained_trajectories(file))
    return refuse_contamination(evaluated_tasks(tasks, "tasks"), trained, table)


def refuse_contamination(
    tasks: Sequence[EvaluatedTask], trained: Iterable[Trained], table: ContaminationTable
) -> Contamination:
    """Check tasks against training data. Raises UserError for a match that is not allowed."""
    found = contamination.find_contamination(tasks, trained, words=table.words, share=table.share)
    if refused := found.not_allowed(table.allow):
        causes = [cause for cause in CAUSES if any(cause in match.causes for match in refused)]
        shown = "".join(f"\n  {match}" for match in refused[:_SHOWN])
        more = f"\n  … and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise UserError(
            f"{summary(found)}{shown}{more}\n"
            "exclude them from the training data or from the evaluation, or allow the causes: "
            f"contamination.allow=[{', '.join(causes)}]"
        )
    return found


def summary(found: Contamination) -> str:
    """Return a line for the matches, and one for each cause."""
    tasks = {(match.evaluation, match.instance) for match in found.matches}
    where = {match.where for match in found.matches}
    lines = [
        f"{len(tasks)} of {found.tasks} evaluated tasks are in {len(where)} of {found.trained} "
        "trajectories or tasks of the training data"
    ]
    for cause, count in found.by_cause().items():
        unknown = count["not_checked"]
        not_checked = f"; {unknown} without one are not checked" if unknown else ""
        lines.append(f"  {cause}: {count['tasks']} tasks in {count['trained_on']}{not_checked}")
    return "\n".join(lines)


def evaluated_tasks(tasks: Iterable[Task], evaluation: str) -> list[EvaluatedTask]:
    """Return tasks of an evaluation for comparison. A math problem's id is its position in a file, and not compared."""
    return [
        EvaluatedTask(evaluation=evaluation, name=task.instance_id, text=task.problem)
        if isinstance(task, MathTask)
        else EvaluatedTask(
            evaluation=evaluation,
            name=task.instance_id,
            text=task.problem_statement,
            instance_id=task.instance_id,
            repo=task.repo,
            base_commit=task.base_commit,
            patch=task.patch,
        )
        for task in tasks
    ]


def trained_trajectories(path: Path, *, only: frozenset[int] | None = None) -> Iterator[Trained]:
    """Read the trajectories of a store, or those at the positions ``only``. Raises StoreError."""
    lines = (line for line in read_lines(path) if line.text.strip())
    for position, line in enumerate(lines):
        if only is None or position in only:
            yield contamination.trained_of(parse_line(path, line), f"{path}:{line.number}")
