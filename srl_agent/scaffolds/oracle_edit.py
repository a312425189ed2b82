"""Oracle-edit: the files that the reference patch changes are given; one answer must edit them."""

from dataclasses import dataclass

from srl_agent.formats import Message
from srl_agent.generation.types import Sampling
from srl_agent.policies.base import ContextOverflowError, Policy
from srl_agent.scaffolds.base import Environment, Recorder, Rollout, ScaffoldTask, limit_of
from srl_agent.scaffolds.repair import ShownFiles, read_repair, repair_prompt, show_files, write_repair
from trajectories import Step


@dataclass(frozen=True, kw_only=True)
class OraclePrompt:
    """The prompt of a task, and the files in it."""

    messages: list[Message]
    shown: ShownFiles

    @property
    def metadata(self) -> dict[str, list[str]]:
        """For the rollout: which of the files the prompt shows."""
        shown, left_out = list(self.shown.paths), list(self.shown.left_out)
        return {"shown_files": shown, "left_out": left_out, "unreadable": list(self.shown.unreadable)}


class OracleEdit:
    """One prompt, one answer, no tools (arXiv 2510.25992, section 5)."""

    def __init__(self, *, sampling: Sampling | None = None, max_file_chars: int = 80_000) -> None:
        """``max_file_chars``: limit for all shown files together."""
        self.sampling = sampling or Sampling(max_tokens=4096)
        self.max_file_chars = max_file_chars

    def prompt(self, task: ScaffoldTask, environment: Environment) -> OraclePrompt:
        """Read the task's files. Raises ValueError for a task without ``shown_files``, TimeoutError."""
        if task.shown_files is None:
            raise ValueError(f"{task.instance_id}: oracle-edit needs the task's shown_files")
        shown = show_files(task.shown_files, environment.read, self.max_file_chars)
        return OraclePrompt(messages=repair_prompt(task, shown), shown=shown)

    def apply(self, completion: str, environment: Environment) -> Step:
        """Write an answer's edits; the step's observation reports on them. Raises TimeoutError."""
        return write_repair(read_repair(completion, environment), environment)

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        """Attempt a task. Raises ValueError for a task without ``shown_files``."""
        record = Recorder.of(policy, scaffold="oracle-edit")
        try:
            prompt = self.prompt(task, environment)
            record.metadata |= prompt.metadata
            (completion,) = record.generate(prompt.messages, sampling=self.sampling)
            record.steps.append(self.apply(completion.text, environment))
        except (ContextOverflowError, TimeoutError) as limit:
            return record.rollout(task, environment, limit_of(limit), str(limit))
        return record.rollout(task, environment, "submitted")
