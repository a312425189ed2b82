"""Oracle-edit: the files that the reference patch touches are given, and one answer has to change them."""

from srl_agent.generation.types import Sampling
from srl_agent.policies.base import ContextOverflowError, Policy
from srl_agent.scaffolds.base import Environment, Recorder, Rollout, ScaffoldTask, Status, limit_of
from srl_agent.scaffolds.repair import read_repair, repair_prompt, show_files, write_repair


class OracleEdit:
    """One prompt, one answer, no tools (arXiv 2510.25992, section 5)."""

    def __init__(self, *, sampling: Sampling | None = None, max_file_chars: int = 80_000) -> None:
        """``max_file_chars``: of all shown files together."""
        self.sampling = sampling or Sampling(max_tokens=4096)
        self.max_file_chars = max_file_chars

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        """Raises ValueError for a task without ``shown_files``."""
        if task.shown_files is None:
            raise ValueError(f"{task.instance_id}: oracle-edit needs the task's shown_files")
        record = Recorder.of(policy, scaffold="oracle-edit")
        status: Status = "submitted"
        error = None
        try:
            shown = show_files(task.shown_files, environment.read, self.max_file_chars)
            record.metadata |= {"shown_files": list(shown.paths), "left_out": list(shown.left_out)}
            (completion,) = record.generate(repair_prompt(task, shown), sampling=self.sampling)
            record.steps.append(write_repair(read_repair(completion.text, environment), environment))
        except (ContextOverflowError, TimeoutError) as limit:
            status, error = limit_of(limit), str(limit)
        return record.rollout(task, environment, status, error)
