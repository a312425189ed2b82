"""Mathematical problems: the whole solution in one answer, or step by step as in training."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from srl_agent.formats import FormatError, Message, get_format, prose, thinking, without_thinking
from srl_agent.formats.math_step import solution_prompt, solution_text
from srl_agent.generation.types import Completion, Sampling
from srl_agent.policies.base import ContextOverflowError, Policy, PolicyError
from srl_agent.scaffolds.base import Ended, Environment, Recorder, Rollout, ScaffoldTask, Status
from srl_agent.steps import PromptSettings, render_next
from trajectories import Action, Step

SOLUTION = "solution"  # key of the rollout's metadata: the text that is verified
_BOX = "\\boxed"  # the step that contains it is the last one


class MathScaffold:
    """``mode: single``: RLVR's prompt, one completion. ``mode: steps``: SRL's prompts, until ``\\boxed``."""

    def __init__(
        self,
        *,
        mode: Literal["single", "steps"] = "single",
        sampling: Sampling | None = None,
        max_steps: int = 30,
    ) -> None:
        """``sampling``: for ``run``; its ``max_tokens`` is per completion."""
        if mode not in ("single", "steps"):
            raise ValueError(f"scaffold math: mode must be single or steps, not {mode!r}")
        if not isinstance(max_steps, int) or max_steps < 1:
            problem = f"max_steps must be a whole number of at least 1, not {max_steps!r}"
            raise ValueError(f"scaffold math: {problem}")
        self.mode = mode
        self.sampling = sampling or Sampling(max_tokens=4096)
        self.max_steps = max_steps
        self._format = get_format("math-step")

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment | None = None) -> Rollout:
        """Attempt the problem once with the scaffold's own sampling. No environment is needed."""
        if self.mode == "steps":
            return self._by_steps(task, Recorder.of(policy, scaffold="math"), self.sampling)
        return self._answers(task, policy, 1, self.sampling)[0]

    def attempts(self, task: ScaffoldTask, policy: Policy, *, n: int, sampling: Sampling) -> list[Rollout]:
        """Attempt the problem ``n`` times. Single answers are one request, so that a server can share the prompt.

        When the policy fails, its attempt ends as ``policy_failure`` with the steps so far, and so do the rest.
        """
        rollouts: list[Rollout] = []
        record = _record(policy)
        try:
            if self.mode == "single":
                return self._answers(task, policy, n, sampling)
            for i in range(n):
                record = _record(policy)
                seed = None if sampling.seed is None else sampling.seed + i
                rollouts.append(self._by_steps(task, record, replace(sampling, seed=seed)))
        except PolicyError as error:
            while len(rollouts) < n:
                rollouts.append(_finish(task, record, "policy_failure", str(error)))
                record = _record(policy)
        return rollouts

    def _answers(self, task: ScaffoldTask, policy: Policy, n: int, sampling: Sampling) -> list[Rollout]:
        try:
            completions = policy.generate(solution_prompt(task.problem_statement), n=n, sampling=sampling)
        except ContextOverflowError as error:
            return [_finish(task, _record(policy), "token_limit", str(error))] * n
        return [self._single(task, policy, completion) for completion in completions]

    def _single(self, task: ScaffoldTask, policy: Policy, completion: Completion) -> Rollout:
        answer = without_thinking(completion.text).strip()
        action = (Action(name=SOLUTION, arguments={"text": answer}),) if answer else ()
        thought = thinking(completion.text) if answer else prose(completion.text)
        status: Status = "token_limit" if completion.finish_reason == "length" else "submitted"
        record = _record(policy)
        record.completions.append(completion)
        record.steps.append(Step(thought=thought, actions=action, observation=""))
        record.metadata[SOLUTION] = completion.text
        return _finish(task, record, status)

    def _by_steps(self, task: ScaffoldTask, record: Recorder, sampling: Sampling) -> Rollout:
        return _finish(task, record, *self._work(task, record, sampling))

    def _work(self, task: ScaffoldTask, record: Recorder, sampling: Sampling) -> Ended:
        for _ in range(self.max_steps):
            prompt = self._prompt(task, record.steps)
            try:
                (completion,) = record.generate(prompt, sampling=sampling)
            except ContextOverflowError as error:
                return "token_limit", str(error)
            number, cut_off = len(record.steps) + 1, completion.finish_reason == "length"
            cut = f"step {number} was cut off at {completion.completion_tokens} tokens"
            try:
                step = self._read(completion.text)
            except FormatError as error:  # often cut off in its thought
                return ("token_limit", cut) if cut_off else ("step_limit", f"step {number} is none: {error}")
            record.steps.append(step)
            if any(_BOX in str(value) for value in step.actions[0].arguments.values()):
                return "submitted", None
            if cut_off:
                return "token_limit", cut
        return "step_limit", None

    def _prompt(self, task: ScaffoldTask, steps: Sequence[Step]) -> list[Message]:
        everything = PromptSettings(context_window=None)
        return render_next(task.problem_statement, steps, settings=everything, action_format=self._format)

    def _read(self, text: str) -> Step:
        """Read a step with its thought anywhere, or without one: only the training format is strict."""
        actions = self._format.parse_actions(without_thinking(text))
        return Step(thought=thinking(text), actions=actions, observation="")


def _record(policy: Policy) -> Recorder:
    return Recorder(policy=policy, scaffold="math")


def _finish(task: ScaffoldTask, record: Recorder, status: Status, error: str | None = None) -> Rollout:
    """Return the rollout; without a text of its own, its steps are what is verified."""
    if SOLUTION not in record.metadata:
        record.metadata[SOLUTION] = solution_text([step for step in record.steps if step.actions])
    return record.rollout(task, None, status, error, patch="")
