"""An evaluation on mathematical problems, from its recipe to its report."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from environments.math.tasks import MathTask
from environments.math.verifier import MathVerdict
from harness.config.evaluation import EvaluationRecipe
from harness.console import Console
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.items import AttemptResult, EvalItem
from harness.evaluation.math.attempts import AnswerRecord, MathEvaluator, make_evaluator, math_items
from harness.evaluation.math.report import build_math_report
from harness.evaluation.records import RolloutRecord, read_records
from harness.evaluation.tasks import check_tasks, math_tasks
from srl_agent.scaffolds.math import SOLUTION
from trajectories import Trajectory
from trajectories.types import JSON


@dataclass(frozen=True, kw_only=True)
class MathJob:
    """A recipe of the domain math with all that its names refer to."""

    recipe: EvaluationRecipe
    tasks: tuple[MathTask, ...]
    contamination: Mapping[str, JSON] | None
    evaluator: MathEvaluator

    make_evaluator = staticmethod(make_evaluator)

    @property
    def model_name(self) -> str:
        return self.evaluator.policy.name

    def describe(self) -> str:
        answers = sum(item.samples for item in self.items())
        return f"{len(self.tasks)} problems of {self.recipe.tasks.source}, {answers} answers"

    def items(self) -> Sequence[EvalItem[MathTask]]:
        return math_items(self.tasks, greedy=self.recipe.greedy, samples=self.recipe.samples)

    def ready(self, folder: EvaluationFolder, console: Console) -> AbstractContextManager[object]:
        """End the verifier's processes with the run."""
        return self.evaluator.verifier

    def text_of(self, trajectory: Trajectory) -> str:
        return str(trajectory.metadata[SOLUTION])

    def save_verdicts(self, result: AttemptResult[MathTask, MathVerdict], folder: EvaluationFolder) -> None:
        """Nothing: attempts.jsonl has all of them."""

    def report(self, folder: EvaluationFolder) -> dict[str, JSON]:
        return build_math_report(
            self.tasks,
            read_records(folder.attempts, AnswerRecord),
            list(read_records(folder.rollouts, RolloutRecord).values()),
            greedy=self.recipe.greedy,
            samples=self.recipe.samples,
            model_name=self.model_name,
        )


def make_math_job(recipe: EvaluationRecipe) -> MathJob:
    """Load what a recipe names: problems, and the policy last. Raises UserError."""
    tasks = math_tasks(recipe.tasks)
    contamination = check_tasks(tasks, recipe.contamination)
    return MathJob(recipe=recipe, tasks=tasks, contamination=contamination, evaluator=make_evaluator(recipe))
