"""Mathematical problems: the answer is compared with the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from environments.math.tasks import MathTask, MathTaskError, load_math_tasks
from environments.math.verifier import MathVerifier, extract_answer
from harness.cli import UserError, user_errors
from harness.config.tables import OutcomesTable
from harness.console import Console
from harness.data.split import split_groups
from harness.data.step_data import StepData
from harness.training.outcomes.base import Grade, TaskSplit, thin
from srl_agent.formats import Message
from srl_agent.formats.math_step import solution_prompt


@dataclass(frozen=True, kw_only=True)
class MathTasks:
    """Problems with their answers; the verifier starts its processes at the first answer."""

    split: TaskSplit[MathTask]
    tasks: Mapping[str, MathTask]
    verifier: MathVerifier

    def start(self, console: Console) -> None:
        """Do nothing: the verifier starts by itself."""

    def prompt(self, task_id: str) -> list[Message]:
        return solution_prompt(self.tasks[task_id].problem)

    def reference(self, task_id: str) -> str:
        return self.tasks[task_id].answer

    def grade(self, task_ids: Sequence[str], completions: Sequence[str]) -> list[Grade]:
        answers = [self.tasks[name].answer for name in task_ids]
        verdicts = self.verifier.verify_many(list(zip(completions, answers, strict=True)))
        return [Grade(solved=v.resolved, reason=v.reason, answer=v.answer, detail=v.detail) for v in verdicts]

    def format_error(self, completion: str) -> str | None:
        return "no answer" if extract_answer(completion) is None else None

    def close(self) -> None:
        self.verifier.close()


def load_math(table: OutcomesTable, data: StepData, *, seed: int) -> MathTasks:
    """Load the problems of the trajectories, split with them, or those of a file. Raises UserError."""
    of_data = table.source == "data"
    if of_data:
        train, validation = (
            _problems(data, data.train_trajectories),
            _problems(data, data.validation_trajectories),
        )
    else:
        train, validation = _of_file(table, seed=seed)
    for tasks, name in ((train, "training"), (validation, "held-out")):
        if not tasks:
            raise UserError(
                f"outcomes: no {name} trajectory of {data.path} says its answer; convert problems with their "
                "answers, or name a file of problems (outcomes.source)"
            )
    split = thin(train, validation, table, of_data=of_data)
    return MathTasks(
        split=split,
        tasks={task.instance_id: task for task in (*split.train, *split.validation)},
        verifier=MathVerifier(seconds=table.seconds, workers=table.workers),
    )


def _of_file(table: OutcomesTable, *, seed: int) -> tuple[list[MathTask], list[MathTask]]:
    with user_errors(MathTaskError, ValueError, about="outcomes", usage=True):
        tasks = load_math_tasks(table.source)
        problems, share = [task.problem for task in tasks], table.validation_fraction
        split = split_groups(problems, by="instance", fraction=share, seed=seed)
    return [tasks[i] for i in split.train], [tasks[i] for i in split.validation]


def _problems(data: StepData, positions: Sequence[int]) -> list[MathTask]:
    """Return one task per problem: several solutions of it are one task."""
    found: dict[str, MathTask] = {}
    for one in map(data.trajectory, positions):
        name, answer = one.instance_id, one.metadata.get("answer")
        if isinstance(answer, str) and answer:
            found[name] = MathTask(instance_id=name, problem=one.task, answer=answer, source=data.path.stem)
    return list(found.values())
