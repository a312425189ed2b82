"""An evaluation on SWE tasks, from its recipe to its report."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from environments.swe.grading import Verdict
from environments.swe.tasks import SWETask, TaskError
from harness.cli import user_errors
from harness.config.evaluation import GOLD, NOOP, PREDICTIONS, EvaluationRecipe, Source
from harness.console import Console
from harness.demo import expert_path
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.items import AttemptResult, Candidate, EvalItem
from harness.evaluation.records import Prediction, RolloutRecord, read_records
from harness.evaluation.swe.calls import expert_first_calls
from harness.evaluation.swe.evaluator import PatchRecord, SWEEvaluator, make_evaluator, verdict_from
from harness.evaluation.swe.images import provide_images
from harness.evaluation.swe.predictions import read_predictions
from harness.evaluation.swe.report import build_report
from harness.evaluation.tasks import all_swe_tasks, check_tasks, filtered
from harness.jsonl import read_rows
from trajectories import Trajectory
from trajectories.store import read_trajectories
from trajectories.types import JSON


@dataclass(frozen=True, kw_only=True)
class SWEJob:
    """A recipe of the domain swe with all that its names refer to."""

    recipe: EvaluationRecipe
    tasks: tuple[SWETask, ...]
    predictions: Mapping[str, Prediction]  # given ones; a task without one has the empty patch
    contamination: Mapping[str, JSON] | None
    evaluator: SWEEvaluator

    make_evaluator = staticmethod(make_evaluator)

    @property
    def model_name(self) -> str | None:
        if agent := self.evaluator.agent:
            return agent.policy.name
        return ", ".join(sorted({given.model_name_or_path for given in self.predictions.values()})) or None

    @property
    def samples(self) -> int:
        return self.recipe.samples if self.evaluator.agent else 1

    def describe(self) -> str:
        return f"{len(self.tasks)} tasks of {len({task.repo for task in self.tasks})} repositories"

    def items(self) -> list[EvalItem[SWETask]]:
        """All that a run does: the sanity check first, so that a broken image shows early."""
        sources = [source for source in (GOLD, NOOP, PREDICTIONS) if source in self.recipe.judge]
        return [item for source in sources for task in self.tasks for item in self._items(task, source)]

    def _items(self, task: SWETask, source: Source) -> list[EvalItem[SWETask]]:
        if source == PREDICTIONS and self.evaluator.agent:
            return [EvalItem(task=task, source=source, sample=sample) for sample in range(self.samples)]
        given = self.predictions.get(task.instance_id)
        patch = {GOLD: task.patch, NOOP: "", PREDICTIONS: given.model_patch if given else ""}[source]
        return [EvalItem(task=task, source=source, candidates=(Candidate(text=patch),))]

    @contextmanager
    def ready(self, folder: EvaluationFolder, console: Console) -> Iterator[None]:
        """Provide the images. Raises UserError without an engine, or without any of the images."""
        provide_images(self.recipe.tasks.source, self.tasks, console)
        for row in read_rows(folder.verdicts):
            self.evaluator.remember(verdict_from(row))
        yield

    def text_of(self, trajectory: Trajectory) -> str:
        return trajectory.patch or ""

    def save_verdicts(self, result: AttemptResult[SWETask, Verdict], folder: EvaluationFolder) -> None:
        new = [verdict for verdict in result.verdicts if verdict and self.evaluator.remember(verdict)]
        folder.append(folder.verdicts, map(asdict, new))

    def report(self, folder: EvaluationFolder) -> dict[str, JSON]:
        expert = read_trajectories(expert_path()) if self.recipe.tasks.source == "demo" else ()
        return build_report(
            self.tasks,
            read_records(folder.attempts, PatchRecord),
            read_records(folder.rollouts, RolloutRecord).values(),
            map(verdict_from, read_rows(folder.verdicts)),
            samples=self.samples,
            model_name=self.model_name,
            first_calls=expert_first_calls(expert),
        )


def make_swe_job(recipe: EvaluationRecipe) -> SWEJob:
    """Load what a recipe names: tasks and predictions, and the policy last. Raises UserError."""
    with user_errors(TaskError, usage=True):
        tasks = all_swe_tasks(recipe.tasks)
        predictions: dict[str, Prediction] = {}
        if recipe.predictions and PREDICTIONS in recipe.judge:
            predictions = read_predictions(Path(recipe.predictions), [task.instance_id for task in tasks])
        tasks = filtered(tasks, recipe.tasks)
    found = check_tasks(tasks, recipe.contamination)
    made = make_evaluator(recipe)
    return SWEJob(recipe=recipe, tasks=tasks, predictions=predictions, contamination=found, evaluator=made)
