"""Where items are attempted and verified: in threads of this process, or as tasks on a Ray cluster."""

import functools
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import ModuleType

from environments.sandbox.engine import LIVE
from harness.cli import UserError
from harness.config.evaluation import EvaluationRecipe
from harness.evaluation.items import Advanced, EvalItem, Evaluator, TaskT, VerdictT, advance

# Takes items from the left until none is left, and yields each one step further, in the order in which they come.
# Its consumer may add items meanwhile.
Execute = Callable[[deque[EvalItem[TaskT]]], Iterator[Advanced[TaskT, VerdictT]]]
MakeEvaluator = Callable[[EvaluationRecipe], Evaluator[TaskT, VerdictT]]


def make_execute(
    recipe: EvaluationRecipe, evaluator: Evaluator[TaskT, VerdictT], make: MakeEvaluator[TaskT, VerdictT]
) -> Execute[TaskT, VerdictT]:
    """Return the recipe's executor of ``evaluator``, which ``make``, a module's function, makes anew on a cluster.

    Raises UserError if Ray is asked for and not installed.
    """
    if recipe.executor == "threads":
        return functools.partial(in_threads, evaluator, recipe.workers)
    try:
        import ray
    except ImportError as error:
        raise UserError('executor: ray is not installed: pip install -e ".[ray]"') from error
    return functools.partial(_on_ray, ray, recipe, make)


def in_threads(
    evaluator: Evaluator[TaskT, VerdictT], workers: int, queue: deque[EvalItem[TaskT]]
) -> Iterator[Advanced[TaskT, VerdictT]]:
    """Work in threads. At an interrupt nothing new is started, and no sandbox is left."""
    waiting: set[Future[Advanced[TaskT, VerdictT]]] = set()
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="evaluation")
    try:
        while queue or waiting:
            while queue and len(waiting) < workers:
                waiting.add(pool.submit(advance, evaluator, queue.popleft()))
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        LIVE.close()  # threads that wait for a sandbox would hold the process
        raise
    pool.shutdown()


def _on_ray(
    ray: ModuleType,
    recipe: EvaluationRecipe,
    make: MakeEvaluator[TaskT, VerdictT],
    queue: deque[EvalItem[TaskT]],
) -> Iterator[Advanced[TaskT, VerdictT]]:
    """Work on the cluster of RAY_ADDRESS, or on one that is started on this machine.

    Every host has its own engine and images. A task whose host dies is done again on another.
    """
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    remotely = ray.remote(num_cpus=recipe.limits.cpus, max_retries=recipe.retries)(advance_remotely)
    text = recipe.model_dump_json()
    waiting: list[object] = []
    while queue or waiting:
        while queue and len(waiting) < recipe.workers:
            waiting.append(remotely.remote(make, text, queue.popleft()))
        finished, waiting = ray.wait(waiting)
        yield from ray.get(finished)


def advance_remotely(
    make: MakeEvaluator[TaskT, VerdictT], recipe_text: str, item: EvalItem[TaskT]
) -> Advanced[TaskT, VerdictT]:
    """Advance an item in a Ray task, with an evaluator that is made once per process."""
    return advance(_evaluator(make, recipe_text), item)


@functools.cache
def _evaluator(make: MakeEvaluator[TaskT, VerdictT], recipe_text: str) -> Evaluator[TaskT, VerdictT]:
    return make(EvaluationRecipe.model_validate(json.loads(recipe_text)))
