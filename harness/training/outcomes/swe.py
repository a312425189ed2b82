"""SWE tasks: an answer to the oracle-edit prompt becomes a patch, and tests in containers verify it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from environments.failures import EnvironmentFailure
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier
from harness.cli import UserError, user_errors
from harness.config.evaluation import PREDICTIONS
from harness.config.tables import DataTable, OutcomesTable
from harness.console import Console
from harness.data.split import split_groups
from harness.evaluation.items import EvalItem
from harness.evaluation.swe.attempts import Agent, sandbox_limits
from harness.evaluation.swe.evaluator import SWEEvaluator
from harness.evaluation.swe.images import provide_images
from harness.evaluation.tasks import load_swe_tasks
from harness.training.outcomes.base import Grade, TaskSplit, thin
from srl_agent.formats import Message
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds.oracle_edit import OracleEdit
from srl_agent.scaffolds.search_replace import parse_edits


@dataclass(frozen=True, kw_only=True)
class SWETasks:
    """Tasks whose answers run as evaluation attempts: one sandbox per answer, a fresh one for its tests."""

    split: TaskSplit[SWETask]
    tasks: Mapping[str, SWETask]
    source: str  # of the tasks, as the recipe names it
    scaffold: OracleEdit
    agent: Agent  # its policy is replaced by one that gives the answer
    evaluator: SWEEvaluator
    workers: int
    prompts: dict[str, list[Message]] = field(default_factory=dict)

    def start(self, console: Console) -> None:
        """Connect to the engine; build or pull the images. Raises UserError."""
        provide_images(self.source, list(self.tasks.values()), console)

    def prompt(self, task_id: str) -> list[Message]:
        """Read the task's files from a sandbox at first use. Raises UserError."""
        if task_id not in self.prompts:
            self.prompts[task_id] = self._read_prompt(self.tasks[task_id])
        return self.prompts[task_id]

    def _read_prompt(self, task: SWETask) -> list[Message]:
        for left in reversed(range(self.evaluator.retries + 1)):
            try:
                with self.agent.sandbox(task, {}) as sandbox:
                    return self.scaffold.prompt(self.agent.shown(task), sandbox).messages
            except EnvironmentFailure as error:
                if not left:
                    raise UserError(f"outcomes: the prompt of {task.instance_id}: {error}") from error
        raise AssertionError("the last try returns or raises")

    def reference(self, task_id: str) -> str:
        return self.tasks[task_id].patch

    def grade(self, task_ids: Sequence[str], completions: Sequence[str]) -> list[Grade]:
        with ThreadPoolExecutor(self.workers, thread_name_prefix="verifier") as pool:
            return list(pool.map(self._grade, task_ids, completions))

    def _grade(self, task_id: str, completion: str) -> Grade:
        agent = replace(self.agent, policy=ScriptedPolicy(lambda prompt: completion, name="sample"))
        evaluator = replace(self.evaluator, agent=agent)
        item = EvalItem(task=self.tasks[task_id], source=PREDICTIONS)
        (candidate,) = evaluator.attempt(item)
        verdict = None if candidate.failure else evaluator.verify(item, candidate.text)
        if verdict is not None:
            evaluator.remember(verdict)
        record = evaluator.record(item, item.keys[0], candidate, verdict)
        solved = {"resolved": True, "infra_failure": None, "policy_failure": None}.get(record.bucket, False)
        return Grade(solved=solved, reason=record.bucket, answer=candidate.text, detail=record.detail)

    def format_error(self, completion: str) -> str | None:
        return None if parse_edits(completion).edits else "no edit"

    def close(self) -> None:
        """Do nothing: each sandbox is closed where it was opened."""


def load_swe(table: OutcomesTable, data: DataTable, *, seed: int) -> SWETasks:
    """Load the tasks of the table, split by repository or instance as the steps are. Raises UserError, TaskError."""
    tasks = load_swe_tasks(table.tasks)
    by, share = data.split_by, table.validation_fraction
    groups = [task.repo if by == "repository" else task.instance_id for task in tasks]
    with user_errors(ValueError, about="outcomes"):
        sides = split_groups(groups, by=by, fraction=share, held_out=data.held_out, seed=seed)
    split = thin([tasks[i] for i in sides.train], [tasks[i] for i in sides.validation], table)
    limits = sandbox_limits(table.limits)
    scaffold = OracleEdit(max_file_chars=table.max_file_chars)
    return SWETasks(
        split=split,
        tasks={task.instance_id: task for task in (*split.train, *split.validation)},
        source=table.tasks.source,
        scaffold=scaffold,
        agent=Agent(policy=ScriptedPolicy(lambda prompt: ""), scaffold=scaffold, limits=limits, oracle=True),
        evaluator=SWEEvaluator(
            verifier=ContainerVerifier(limits=limits, test_seconds=table.limits.test_seconds),
            retries=table.retries,
        ),
        workers=table.workers,
    )
