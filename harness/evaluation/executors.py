"""Where items are done: in threads of this process, or as tasks on a Ray cluster. Both call the same Worker."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from environments.sandbox.engine import LIVE
from harness.cli import UserError
from harness.config.evaluation import EvaluationRecipe
from harness.evaluation.swe.attempts import Done, Item, Worker
from harness.evaluation.swe.predictions import read_recipe_predictions
from harness.evaluation.swe.runner import Execute, Verdicts
from harness.evaluation.swe.worker import make_worker

Given = TypeVar("Given")
Made = TypeVar("Made")


def make_execute(recipe: EvaluationRecipe, worker: Worker) -> Execute:
    """The recipe's executor. Raises UserError if Ray is asked for and not installed."""
    if recipe.executor == "threads":
        return functools.partial(in_threads, worker, recipe.workers)
    try:
        import ray
    except ImportError as error:
        raise UserError('executor: ray is not installed: pip install -e ".[ray]"') from error
    return functools.partial(_on_ray, ray, recipe)


def in_threads(work: Callable[[Given], Made], workers: int, items: Iterable[Given]) -> Iterator[Made]:
    """Outcomes in the order in which they come. At an interrupt nothing new is started, and no box is left."""
    waiting: set[Future[Made]] = set()
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="evaluation")
    try:
        for item in items:
            waiting.add(pool.submit(work, item))
            if len(waiting) >= workers:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        LIVE.close()  # threads that wait for a box would hold the process
        raise
    pool.shutdown()


def _on_ray(ray: Any, recipe: EvaluationRecipe, items: Iterable[Item]) -> Iterator[Done]:
    """The same, on the cluster of RAY_ADDRESS, or one that is started on this machine.

    Every host has an engine and the images of its own. A task whose host dies is done again on another.
    """
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    remotely = ray.remote(num_cpus=recipe.limits.cpus, max_retries=recipe.retries)(do_item)
    text = recipe.model_dump_json()
    waiting: list[Any] = []
    for item in items:
        waiting.append(remotely.remote(text, item))
        if len(waiting) >= recipe.workers:
            finished, waiting = ray.wait(waiting)
            yield from ray.get(finished)
    while waiting:
        finished, waiting = ray.wait(waiting)
        yield from ray.get(finished)


def do_item(recipe_text: str, item: Item) -> Done:
    """What a Ray task runs: the worker of a recipe, made once in a process."""
    return _worker(recipe_text)(item)


@functools.cache
def _worker(recipe_text: str) -> Worker:
    recipe = EvaluationRecipe.model_validate(json.loads(recipe_text))
    worker, _ = make_worker(recipe, read_recipe_predictions(recipe.predictions), Verdicts())
    return worker
