"""The gate between what is trained on and what is evaluated, the same for both commands."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from environments.math.tasks import MathTask
from environments.swe.tasks import Reference, SWETask
from harness.cli import UserError
from harness.config import ContaminationTable, Recipe
from harness.contamination import CAUSES, Contamination, Held, Trained, find_contamination, trained_of
from harness.evaluation.tasks import evaluation_set
from harness.outcomes import outcome_tasks
from harness.step_data import StepData
from trajectories.store import parse_line, read_lines

Task = SWETask | Reference | MathTask

_SHOWN = 20  # matches in a refusal
_OUTCOMES = "outcomes, held out"


def check_training(recipe: Recipe, data: StepData) -> Contamination | None:
    """What a run trains on against what is evaluated, None if that is nothing. Raises UserError.

    Evaluated are the sets of ``contamination.against``, and without being asked the held-out tasks of ``outcomes``.
    Trained on are the trajectories of the training side, for the stages that learn from them, and for rlvr the
    training tasks of ``outcomes``. The two sides of one split are not compared: how it is split is the recipe's word.
    """
    table = recipe.contamination
    tasks = [one for name in table.against for one in _named_set(name)]
    trained: list[Iterable[Trained]] = []
    if {"sft", "srl"} & set(recipe.stages):
        trained.append(trained_trajectories(data.path, only=frozenset(data.train_trajectories)))
    if sides := outcome_tasks(recipe, data):
        if not sides.of_data:
            tasks += held(sides.validation, _OUTCOMES)
        if "rlvr" in recipe.stages:
            trained.append(_trained_tasks(sides.train))
    if not tasks:
        return None
    return _check(tasks, chain(*trained), table)


def check_evaluation(
    tasks: Sequence[Task], files: Sequence[Path], table: ContaminationTable
) -> Contamination:
    """Tasks against stores that were trained on. Raises UserError where it is not allowed."""
    trained = (one for file in files for one in trained_trajectories(file))
    return _check(held(tasks, "tasks"), trained, table)


def _named_set(name: str) -> list[Held]:
    try:
        return held(evaluation_set(name), name)
    except UserError as error:
        raise UserError(
            f"contamination.against: {error}; or name no set: contamination.against=[]", exit_code=2
        ) from error


def _check(tasks: Sequence[Held], trained: Iterable[Trained], table: ContaminationTable) -> Contamination:
    found = find_contamination(tasks, trained, words=table.words, share=table.share)
    if refused := found.not_allowed(table.allow):
        causes = [cause for cause in CAUSES if any(cause in match.causes for match in refused)]
        shown = "".join(f"\n  {match}" for match in refused[:_SHOWN])
        more = f"\n  … and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise UserError(
            f"{summary(found)}{shown}{more}\n"
            "leave them out of what is trained on or of what is evaluated, or allow the causes: "
            f"contamination.allow=[{', '.join(causes)}]"
        )
    return found


def summary(found: Contamination) -> str:
    """A line of what was found, and one for each cause."""
    tasks = {(match.evaluation, match.instance) for match in found.matches}
    where = {match.where for match in found.matches}
    lines = [
        f"{len(tasks)} of {found.tasks} tasks that are evaluated stand in {len(where)} of {found.trained} "
        "trajectories or tasks that are trained on"
    ]
    for cause, count in found.by_cause().items():
        unknown = count["not_checked"]
        not_checked = f"; {unknown} without one are not checked" if unknown else ""
        lines.append(f"  {cause}: {count['tasks']} tasks in {count['trained_on']}{not_checked}")
    return "\n".join(lines)


def held(tasks: Iterable[Task], evaluation: str) -> list[Held]:
    """Tasks of an evaluation. An id of a problem is its place in a file, so it says nothing of another file's."""
    return [
        Held(evaluation=evaluation, name=task.instance_id, text=task.problem)
        if isinstance(task, MathTask)
        else Held(
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
    """The trajectories of a store, or those at these positions. Raises StoreError."""
    lines = (line for line in read_lines(path) if line.text.strip())
    for position, line in enumerate(lines):
        if only is None or position in only:
            yield trained_of(parse_line(path, line), f"{path}:{line.number}")


def _trained_tasks(tasks: Iterable[SWETask | MathTask]) -> Iterator[Trained]:
    for task, one in zip(tasks, held(tasks, _OUTCOMES), strict=True):
        yield Trained(
            name=one.name,
            where=f"outcomes, {task.instance_id}",
            text=one.text,
            instance_id=one.instance_id,
            repo=one.repo,
            commits=frozenset({one.base_commit} - {""}),
            names_base=bool(one.base_commit),
            patch=one.patch,
            split_from=_OUTCOMES,
        )
