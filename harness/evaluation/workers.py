"""From a recipe to the worker that does its items."""

from environments.container import Limits
from environments.swe.verifier import ContainerVerifier
from harness.evaluation.config import EvaluationRecipe
from harness.evaluation.records import Prediction
from harness.evaluation.runner import Verdicts
from harness.evaluation.work import Worker


def make_worker(recipe: EvaluationRecipe, predictions: dict[str, Prediction], verdicts: Verdicts) -> Worker:
    """The worker of a recipe; it asks ``verdicts`` before it judges."""
    table = recipe.limits
    limits = Limits(
        memory_bytes=int(table.memory_gb * 2**30),
        cpus=table.cpus,
        pids=table.pids,
        disk_bytes=int(table.disk_gb * 2**30),
    )
    return Worker(
        verifier=ContainerVerifier(limits=limits, test_seconds=table.test_seconds),
        retries=recipe.retries,
        predictions=predictions,
        known=verdicts.get,
    )
