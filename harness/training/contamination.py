"""Check what a run trains on against what is evaluated."""

from collections.abc import Iterable, Iterator
from itertools import chain

from environments.math.tasks import MathTask
from environments.swe.tasks import SWETask
from harness.cli import UsageError, UserError
from harness.config.tables import Recipe
from harness.data.contamination import Contamination, EvaluatedTask, Trained
from harness.data.contamination_gate import evaluated_tasks, refuse_contamination, trained_trajectories
from harness.data.step_data import StepData
from harness.evaluation.tasks import evaluation_set
from harness.training.outcomes.base import VerifiedTasks

_OUTCOMES = "outcomes, held out"


def check_training(recipe: Recipe, data: StepData, verified: VerifiedTasks | None) -> Contamination | None:
    """Check training data against evaluation sets; None if no set is named. Raises UserError.

    Evaluation sets are those of ``contamination.against``, and always the held-out tasks of ``outcomes``. Training data
    are the training trajectories, for the stages that learn from them, and for rlvr the training tasks of ``outcomes``.
    The two sides of one split are not compared: the recipe says how to split.
    """
    table = recipe.contamination
    tasks = [one for name in table.against for one in _named_set(name)]
    trained: list[Iterable[Trained]] = []
    if {"sft", "srl"} & set(recipe.stages):
        trained.append(trained_trajectories(data.path, only=frozenset(data.train_trajectories)))
    if verified:
        if not verified.split.of_data:
            tasks += evaluated_tasks(verified.split.validation, _OUTCOMES)
        if "rlvr" in recipe.stages:
            trained.append(_trained_tasks(verified.split.train))
    if not tasks:
        return None
    return refuse_contamination(tasks, chain(*trained), table)


def _named_set(name: str) -> list[EvaluatedTask]:
    try:
        return evaluated_tasks(evaluation_set(name), name)
    except UserError as error:
        raise UsageError(
            f"contamination.against: {error}; or name no set: contamination.against=[]"
        ) from error


def _trained_tasks(tasks: Iterable[SWETask | MathTask]) -> Iterator[Trained]:
    for task, one in zip(tasks, evaluated_tasks(tasks, _OUTCOMES), strict=True):
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
