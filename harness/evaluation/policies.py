"""From a recipe to the worker that does its items."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from environments.container import Limits
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier
from harness.evaluation.config import EvaluationRecipe
from harness.evaluation.records import Prediction, read_predictions
from harness.evaluation.runner import Verdicts
from harness.evaluation.work import Proposer, Worker


@dataclass(frozen=True, kw_only=True)
class GivenPredictions:
    """Predictions from a file; a task without one has the empty patch."""

    predictions: Mapping[str, Prediction]
    model_name: str

    def propose(self, task: SWETask, sample: int) -> Prediction:
        empty = Prediction(
            instance_id=task.instance_id, model_name_or_path=self.model_name, model_patch="", sample=sample
        )
        return self.predictions.get(task.instance_id, empty)


def make_worker(recipe: EvaluationRecipe, verdicts: Verdicts) -> Worker:
    """The worker of a recipe. Raises UserError."""
    proposer, model_name = make_proposer(recipe)
    verifier = ContainerVerifier(limits=_limits(recipe), test_seconds=recipe.limits.test_seconds)
    return Worker(
        proposer=proposer,
        verifier=verifier,
        model_name=model_name,
        retries=recipe.retries,
        known=verdicts.get,
    )


def make_proposer(recipe: EvaluationRecipe) -> tuple[Proposer, str]:
    """Where patches come from, and what they are signed with. Raises UserError."""
    assert recipe.predictions is not None
    predictions = read_predictions(Path(recipe.predictions))
    names = sorted({prediction.model_name_or_path for prediction in predictions.values()})
    return GivenPredictions(predictions=predictions, model_name=names[0]), ", ".join(names)


def _limits(recipe: EvaluationRecipe) -> Limits:
    table = recipe.limits
    return Limits(
        memory_bytes=int(table.memory_gb * 2**30),
        cpus=table.cpus,
        pids=table.pids,
        disk_bytes=int(table.disk_gb * 2**30),
        command_seconds=table.command_seconds,
        box_seconds=table.attempt_seconds,
    )
