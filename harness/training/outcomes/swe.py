"""SWE tasks: the answer to an oracle-edit prompt becomes a patch, and tests in containers judge it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from environments.failures import EnvironmentFailure
from environments.sandbox.engine import connect
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier
from harness.cli import UserError
from harness.config.tables import DataTable, OutcomesTable
from harness.console import Teller
from harness.data.selection import SelectionRow
from harness.data.split import evenly, split_groups
from harness.evaluation.swe.attempts import Item, Worker
from harness.evaluation.swe.images import provide_images
from harness.evaluation.swe.predictions import PREDICTIONS
from harness.evaluation.swe.runner import Verdicts
from harness.evaluation.swe.worker import Attempt, box_limits
from harness.evaluation.tasks import load_swe_tasks
from harness.training.outcomes.base import Outcome, Sides, select_tasks
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
    attempt: Attempt  # its policy is replaced
    worker: Worker  # its attempt is replaced
    workers: int
    verdicts: Verdicts
    selection: tuple[SelectionRow, ...]
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
        worker = replace(self.worker, attempt=replace(self.attempt, policy=policy))
        done = worker(Item(task=self.tasks[task_id], source=PREDICTIONS))
        if done.verdict is not None:
            self.verdicts.add(done.verdict)
        solved = {"resolved": True, "infra_failure": None, "policy_failure": None}.get(done.bucket, False)
        return Outcome(solved=solved, reason=done.bucket, answer=done.proposal.patch, detail=done.detail)

    def _read_prompt(self, task_id: str) -> list[Message]:
        read: list[list[Message]] = []

        def look(prompt: Sequence[Message]) -> str:
            read.append(list(prompt))
            raise PolicyError("the prompt is all that was wanted")

        attempt = replace(self.attempt, policy=ScriptedPolicy(look))
        for _ in range(self.worker.retries + 1):
            try:
                attempt(self.tasks[task_id], 0)
            except PolicyError:
                return read[0]
            except EnvironmentFailure as error:
                failure = error
        raise failure


def swe_outcomes(table: OutcomesTable, data: DataTable, *, seed: int, teller: Teller) -> SWEOutcomes:
    """Raises UserError, TaskError."""
    sides = swe_sides(table, data, seed=seed)
    wanted = [*sides.train, *sides.validation]
    try:
        connect()  # in the main thread, where signals can be taken over
        provide_images(table.tasks.source, wanted, teller)
    except EnvironmentFailure as error:
        raise UserError(str(error)) from error
    limits, verdicts = box_limits(table.limits), Verdicts()
    return SWEOutcomes(
        tasks={task.instance_id: task for task in wanted},
        train=tuple(task.instance_id for task in sides.train),
        validation=tuple(task.instance_id for task in sides.validation),
        attempt=Attempt(
            policy=ScriptedPolicy(lambda prompt: ""),
            scaffold=OracleEdit(max_file_chars=table.max_file_chars),
            limits=limits,
            oracle=True,
        ),
        worker=Worker(
            verifier=ContainerVerifier(limits=limits, test_seconds=table.limits.test_seconds),
            retries=table.retries,
            known=verdicts.get,
        ),
        workers=table.workers,
        verdicts=verdicts,
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
    candidates, selection = select_tasks([tasks[i] for i in split.train], table)
    return Sides(
        train=evenly(candidates, table.train_tasks),
        validation=evenly([tasks[i] for i in split.validation], table.validation_tasks),
        selection=selection,
    )
