"""Where workers run: threads of this process, or a Ray cluster. Both call the same function for an item."""

from collections.abc import Iterable, Iterator
from typing import Any

from harness.cli import UserError
from harness.evaluation.config import EvaluationRecipe
from harness.evaluation.runner import Execute, in_threads
from harness.evaluation.work import Done, Item, Worker


def make_execute(recipe: EvaluationRecipe, worker: Worker) -> Execute:
    """The recipe's executor. Raises UserError if Ray is asked for and not installed."""
    if recipe.executor == "threads":
        return in_threads(worker, recipe.workers)
    try:
        import ray
    except ImportError as error:
        raise UserError('executor: ray is not installed: pip install -e ".[ray]"') from error
    return _on_ray(ray, recipe, worker)


def _on_ray(ray: Any, recipe: EvaluationRecipe, worker: Worker) -> Execute:
    """Tasks on a cluster: that of RAY_ADDRESS, else one on this machine. Every host has its own engine and images."""

    @ray.remote(num_cpus=recipe.limits.cpus, max_retries=recipe.retries)  # type: ignore[untyped-decorator]
    def remotely(item: Item) -> Done:
        return worker(item)

    def execute(items: Iterable[Item]) -> Iterator[Done]:
        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        waiting: list[Any] = []
        for item in items:
            waiting.append(remotely.remote(item))
            if len(waiting) >= recipe.workers:
                finished, waiting = ray.wait(waiting)
                yield from ray.get(finished)
        while waiting:
            finished, waiting = ray.wait(waiting)
            yield from ray.get(finished)

    return execute
