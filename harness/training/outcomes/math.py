"""Mathematical problems: the answer is compared with the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments.math.tasks import MathTask, MathTaskError, load_math_tasks
from environments.math.verifier import MathVerifier, extract_answer
from harness.cli import UserError
from harness.config.tables import OutcomesTable
from harness.data.selection import SelectionRow
from harness.data.split import evenly, split_groups
from harness.data.step_data import StepData
from harness.training.outcomes.base import Outcome, Sides, select_tasks
from srl_agent.formats import Message
from srl_agent.formats.math_step import solution_prompt
from trajectories import Trajectory


@dataclass(frozen=True, kw_only=True)
class MathOutcomes:
    """Problems with their answers."""

    tasks: Mapping[str, MathTask]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    verifier: MathVerifier
    selection: tuple[SelectionRow, ...]

    def prompt(self, task_id: str) -> list[Message]:
        return solution_prompt(self.tasks[task_id].problem)

    def reference(self, task_id: str) -> str:
        return self.tasks[task_id].answer

    def judge(self, task_ids: Sequence[str], completions: Sequence[str]) -> list[Outcome]:
        answers = [self.tasks[name].answer for name in task_ids]
        verdicts = self.verifier.verify_many(list(zip(completions, answers, strict=True)))
        return [
            Outcome(solved=v.resolved, reason=v.reason, answer=v.answer, detail=v.detail) for v in verdicts
        ]

    def malformed(self, completion: str) -> str | None:
        return "no answer" if extract_answer(completion) is None else None

    def close(self) -> None:
        self.verifier.close()


def math_outcomes(table: OutcomesTable, data: StepData, *, seed: int) -> MathOutcomes:
    """Raises UserError."""
    sides = math_sides(table, data, seed=seed)
    return MathOutcomes(
        tasks={task.instance_id: task for task in (*sides.train, *sides.validation)},
        train=tuple(task.instance_id for task in sides.train),
        validation=tuple(task.instance_id for task in sides.validation),
        verifier=MathVerifier(seconds=table.seconds, workers=table.workers),
        selection=sides.selection,
    )


def math_sides(table: OutcomesTable, data: StepData, *, seed: int) -> Sides[MathTask]:
    """The problems of the trajectories on their side of the split, or those of a file. Raises UserError."""
    if table.source == "data":
        sides = [
            _problems(data, positions)
            for positions in (data.train_trajectories, data.validation_trajectories)
        ]
    else:
        try:
            tasks = load_math_tasks(table.source)
            split = split_groups(
                [task.problem for task in tasks], by="instance", fraction=table.validation_fraction, seed=seed
            )
        except (MathTaskError, ValueError) as error:
            raise UserError(f"outcomes: {error}", exit_code=2) from error
        sides = [[tasks[i] for i in split.train], [tasks[i] for i in split.validation]]
    for side, name in zip(sides, ("training", "held-out"), strict=True):
        if not side:
            raise UserError(
                f"outcomes: no {name} trajectory of {data.path} says its answer; convert problems with their "
                "answers, or name a file of problems (outcomes.source)"
            )
    candidates, selection = select_tasks(sides[0], table)
    return Sides(
        train=evenly(candidates, table.train_tasks),
        validation=evenly(sides[1], table.validation_tasks),
        selection=selection,
        of_data=table.source == "data",
    )


def _problems(data: StepData, positions: Sequence[int]) -> list[MathTask]:
    """One task a problem: several solutions of it are one task."""
    found = (_problem(data.trajectory(position), data.path) for position in positions)
    return list({task.instance_id: task for task in found if task is not None}.values())


def _problem(trajectory: Trajectory, path: Path) -> MathTask | None:
    answer = trajectory.metadata.get("answer")
    if not isinstance(answer, str) or not answer:
        return None
    return MathTask(
        instance_id=trajectory.instance_id, problem=trajectory.task, answer=answer, source=path.stem
    )
