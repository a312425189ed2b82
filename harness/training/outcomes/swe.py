"""SWE tasks: the answer to an oracle-edit prompt becomes a patch, and tests in containers judge it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from environments.failures import EnvironmentFailure
from environments.sandbox.engine import connect
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier
from harness.cli import UserError
from harness.config.evaluation import PREDICTIONS
from harness.config.tables import DataTable, OutcomesTable
from harness.console import Teller
from harness.data.selection import Choice
from harness.data.split import evenly, split_groups
from harness.evaluation.items import EvalItem
from harness.evaluation.swe.attempts import Agent, sandbox_limits
from harness.evaluation.swe.evaluator import SWEEvaluator, bucket_of_verdict
from harness.evaluation.swe.images import provide_images
from harness.evaluation.tasks import load_swe_tasks
from harness.training.outcomes.base import Outcome, Sides, pivots
from srl_agent.formats import Message
from srl_agent.policies import PolicyError
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds.oracle_edit import OracleEdit
from srl_agent.scaffolds.search_replace import parse_edits


@dataclass(frozen=True, kw_only=True)
class SWEOutcomes:
    """Tasks, each answer judged in a box of its own: the very attempt that an evaluation makes, with a given answer."""

    tasks: Mapping[str, SWETask]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    agent: Agent  # its policy is replaced
    evaluator: SWEEvaluator  # its agent is replaced
    workers: int
    selection: tuple[Choice, ...]
    prompts: dict[str, list[Message]] = field(default_factory=dict)

    def prompt(self, task_id: str) -> list[Message]:
        """Read from a box at first use. Raises UserError."""
        if task_id not in self.prompts:
            try:
                self.prompts[task_id] = self._read_prompt(task_id)
            except EnvironmentFailure as error:
                raise UserError(f"outcomes: the prompt of {task_id}: {error}") from error
        return self.prompts[task_id]

    def reference(self, task_id: str) -> str:
        return self.tasks[task_id].patch

    def judge(self, task_ids: Sequence[str], completions: Sequence[str]) -> list[Outcome]:
        with ThreadPoolExecutor(self.workers, thread_name_prefix="verifier") as pool:
            return list(pool.map(self._judge, task_ids, completions))

    def malformed(self, completion: str) -> str | None:
        return None if parse_edits(completion).edits else "no edit"

    def close(self) -> None:
        """Every box is closed by who opened it."""

    def _judge(self, task_id: str, completion: str) -> Outcome:
        policy = ScriptedPolicy(lambda prompt: completion, name="sample")
        evaluator = replace(self.evaluator, agent=replace(self.agent, policy=policy))
        item = EvalItem(task=self.tasks[task_id], source=PREDICTIONS)
        (made,) = evaluator.attempt(item)
        if made.failure:
            return Outcome(solved=None, reason=made.failure, detail=made.error)
        verdict = evaluator.verify(item, made.text)
        evaluator.remember(verdict)
        bucket = bucket_of_verdict(verdict)
        return Outcome(solved=verdict.resolved, reason=bucket, answer=made.text, detail=verdict.detail)

    def _read_prompt(self, task_id: str) -> list[Message]:
        read: list[list[Message]] = []

        def look(prompt: Sequence[Message]) -> str:
            read.append(list(prompt))
            raise PolicyError("the prompt is all that was wanted")

        evaluator = replace(self.evaluator, agent=replace(self.agent, policy=ScriptedPolicy(look)))
        (made,) = evaluator.attempt(EvalItem(task=self.tasks[task_id], source=PREDICTIONS))
        if not read:
            raise EnvironmentFailure(made.error)
        return read[0]


def swe_outcomes(table: OutcomesTable, data: DataTable, *, seed: int, teller: Teller) -> SWEOutcomes:
    """Raises UserError, TaskError."""
    sides = swe_sides(table, data, seed=seed)
    wanted = [*sides.train, *sides.validation]
    try:
        connect()  # in the main thread, where signals can be taken over
        provide_images(table.tasks.source, wanted, teller)
    except EnvironmentFailure as error:
        raise UserError(str(error)) from error
    limits = sandbox_limits(table.limits)
    return SWEOutcomes(
        tasks={task.instance_id: task for task in wanted},
        train=tuple(task.instance_id for task in sides.train),
        validation=tuple(task.instance_id for task in sides.validation),
        agent=Agent(
            policy=ScriptedPolicy(lambda prompt: ""),
            scaffold=OracleEdit(max_file_chars=table.max_file_chars),
            limits=limits,
            oracle=True,
        ),
        evaluator=SWEEvaluator(
            verifier=ContainerVerifier(limits=limits, test_seconds=table.limits.test_seconds),
            retries=table.retries,
        ),
        workers=table.workers,
        selection=sides.selection,
    )


def swe_sides(table: OutcomesTable, data: DataTable, *, seed: int) -> Sides[SWETask]:
    """The tasks of the table, split by repository or instance as the steps are. Raises UserError, TaskError."""
    tasks = load_swe_tasks(table.tasks)
    try:
        split = split_groups(
            [task.repo if data.split_by == "repository" else task.instance_id for task in tasks],
            by=data.split_by,
            fraction=table.validation_fraction,
            held_out=data.held_out,
            seed=seed,
        )
    except ValueError as error:
        raise UserError(f"outcomes: {error}") from error
    candidates, selection = pivots([tasks[i] for i in split.train], table)
    return Sides(
        train=evenly(candidates, table.train_tasks),
        validation=evenly([tasks[i] for i in split.validation], table.validation_tasks),
        selection=selection,
    )
