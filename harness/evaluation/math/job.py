"""An evaluation on mathematical problems, from its recipe to its report."""

import functools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from environments.math.tasks import MathTask
from environments.math.verifier import MathVerifier
from harness.cli import UserError
from harness.config.evaluation import EvaluationRecipe
from harness.console import Console
from harness.evaluation.executors import in_threads
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.math.attempts import (
    MathDone,
    MathItem,
    MathWorker,
    math_items,
    run_math_items,
    unfinished_math_items,
)
from harness.evaluation.math.report import build_math_report
from harness.evaluation.summary import print_math_report
from harness.evaluation.tasks import math_tasks
from harness.jsonl import read_rows
from srl_agent.formats import get_format
from srl_agent.models.packaged import ModelError
from srl_agent.plugins import PluginError
from srl_agent.policies import PolicyError, make_policy
from srl_agent.scaffolds import load_scaffold
from srl_agent.scaffolds.math import MathScaffold


@dataclass(frozen=True, kw_only=True)
class MathJob:
    """A recipe with what its names stand for."""

    recipe: EvaluationRecipe
    tasks: tuple[MathTask, ...]
    worker: MathWorker

    @property
    def items(self) -> list[MathItem]:
        return math_items(self.tasks, greedy=self.recipe.greedy, samples=self.recipe.samples)

    def describe(self) -> str:
        answers = sum(item.samples for item in self.items)
        return f"{len(self.tasks)} problems of {self.recipe.tasks.source}, {answers} answers"

    def run(self, folder: EvaluationFolder, console: Console) -> None:
        """Answer what is left. The verifier's processes end with it."""
        recipe = self.recipe
        left = unfinished_math_items(folder, self.items)
        console.info(
            f"{self.describe()}; {sum(item.samples for item in left)} to be had, {recipe.workers} at once"
        )
        with self.worker.verifier:
            run_math_items(
                left,
                functools.partial(in_threads, self.worker, recipe.workers),
                folder,
                model_name=self.worker.policy.name,
                on_done=_progress(len(left), console.info),
            )

    def report(self, folder: EvaluationFolder) -> dict[str, object]:
        return build_math_report(
            self.tasks,
            read_rows(folder.attempts),
            read_rows(folder.rollouts),
            greedy=self.recipe.greedy,
            samples=self.recipe.samples,
            model_name=self.worker.policy.name,
        )

    print_report = staticmethod(print_math_report)


def prepare_math(recipe: EvaluationRecipe) -> MathJob:
    """Raises UserError."""
    tasks = math_tasks(recipe.tasks)
    assert recipe.policy is not None  # the recipe is checked for it
    name = recipe.scaffold.name or "math"
    try:
        scaffold = load_scaffold(name, recipe.scaffold.settings, action_format=get_format("math-step"))
        policy = make_policy(recipe.policy.name, recipe.policy.settings)
    except PluginError as error:
        raise UserError(str(error), exit_code=2) from error
    except (PolicyError, ModelError) as error:
        raise UserError(f"policy: {error}") from error
    except ValueError as error:
        raise UserError(str(error), exit_code=2) from error
    if not isinstance(scaffold, MathScaffold):
        raise UserError(f"domain math: the scaffold is math, not {name} (scaffold.name=math)", exit_code=2)
    worker = MathWorker(
        policy=policy,
        scaffold=scaffold,
        verifier=MathVerifier(seconds=recipe.verifier_seconds, workers=recipe.workers),
        temperature=recipe.temperature,
    )
    return MathJob(recipe=recipe, tasks=tasks, worker=worker)


def _progress(total: int, log: Callable[[str], None]) -> Callable[[MathDone], None]:
    """A line for a person: done, right, and an estimate."""
    started = time.monotonic()
    buckets: Counter[str] = Counter()
    finished = 0

    def tell(done: MathDone) -> None:
        nonlocal finished
        finished += 1
        buckets.update(done.buckets)
        left = (time.monotonic() - started) / finished * (total - finished)
        right, detail = done.buckets.count("resolved"), f": {done.error}" if done.error else ""
        log(
            f"{finished}/{total}  {done.item.task.instance_id} ({done.item.kind}) {right} of "
            f"{done.item.samples} right{detail}  | {buckets['resolved']} of {buckets.total()} answers right, "
            f"about {max(left, 0) / 60:.1f} min left"
        )

    return tell
