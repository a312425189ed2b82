"""A turn-by-turn agent with tools: the control flow of the training steps.

A rollout's prompts and training prompts are rendered by the same function (``srl_agent.steps.render_next``).
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from srl_agent.formats import ActionFormat, FormatError, prose
from srl_agent.formats.bash_block import SUBMISSION_MARK
from srl_agent.generation.types import Completion, Sampling
from srl_agent.policies.base import ContextOverflowError, Policy
from srl_agent.scaffolds.base import Environment, Recorder, Rollout, ScaffoldTask, Status
from srl_agent.steps import PromptSettings, render_next, truncate_middle
from trajectories import Action, Step

FINISHING = frozenset({"submit", "task_done", "finish"})  # actions that end a rollout

_COMPLAINT = """\
Invalid response: {error}{cut}. Nothing was executed.
Write your thoughts between <think> and </think>, then the next action in the form described above."""


class ToolLoop:
    """Prompt, parse, execute, until the agent finishes or reaches a limit. The state at the end is the submission."""

    def __init__(
        self,
        *,
        action_format: ActionFormat,
        sampling: Sampling | None = None,
        context_window: int | None = 2,
        max_task_chars: int | None = None,
        max_observation_chars: int | None = None,
        max_steps: int = 75,
        max_completion_tokens: int | None = None,
        max_seconds: float | None = None,
        max_malformed: int = 3,
    ) -> None:
        """``context_window`` and the limits in characters should be those of the training, see PromptSettings.

        ``max_steps`` counts completions; ``max_completion_tokens`` is their sum; ``max_seconds`` is checked between
        steps; ``max_malformed`` malformed completions in a row end the rollout.
        """
        self.action_format = action_format
        self.sampling = sampling or Sampling()
        self.prompt = PromptSettings(
            context_window=context_window,
            max_task_chars=max_task_chars,
            max_observation_chars=max_observation_chars,
        )
        self.max_steps = max_steps
        self.max_completion_tokens = max_completion_tokens
        self.max_seconds = max_seconds
        self.max_malformed = max_malformed

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        record = Recorder.of(policy, scaffold="tool-loop", action_format=self.action_format.name)
        status, error = self._work(task, record, environment)
        return record.rollout(task, environment, status, error)

    def _work(
        self, task: ScaffoldTask, record: Recorder, environment: Environment
    ) -> tuple[Status, str | None]:
        started = time.monotonic()
        malformed = 0
        for _ in range(self.max_steps):
            if self.max_seconds is not None and time.monotonic() - started >= self.max_seconds:
                return "time_limit", None
            tokens = self._tokens_left(record.completions)
            if tokens <= 0:
                return "token_limit", None
            prompt = render_next(
                task.problem_statement, record.steps, settings=self.prompt, action_format=self.action_format
            )
            try:
                (completion,) = record.generate(prompt, sampling=replace(self.sampling, max_tokens=tokens))
            except ContextOverflowError as error:
                return "token_limit", str(error)
            try:
                parsed = self.action_format.parse(completion.text)
            except FormatError as error:
                malformed += 1
                record.steps.append(self._refused(completion, error))
                if malformed >= self.max_malformed:
                    return "step_limit", f"{malformed} answers in a row had no action; the last: {error}"
                continue
            malformed = 0
            try:
                observation, finished = execute(parsed.actions, environment)
            except Exception as error:  # the environment's time is over, or it broke
                record.steps.append(replace(parsed, observation=str(error)))
                if isinstance(error, TimeoutError):
                    return "time_limit", str(error)
                raise
            record.steps.append(replace(parsed, observation=observation))
            if finished:
                return "submitted", None
        return "step_limit", None

    def _tokens_left(self, completions: Sequence[Completion]) -> int:
        """Return the token limit of the next completion."""
        if self.max_completion_tokens is None:
            return self.sampling.max_tokens
        used = sum(completion.completion_tokens for completion in completions)
        return min(self.sampling.max_tokens, self.max_completion_tokens - used)

    def _refused(self, completion: Completion, error: FormatError) -> Step:
        """Return a malformed completion as a step without an action, with the complaint as its observation."""
        cut = f" (it was cut off at {completion.completion_tokens} tokens)"
        return Step(
            thought=truncate_middle(prose(completion.text), self.prompt.max_observation_chars),
            actions=(),
            observation=_COMPLAINT.format(
                error=error, cut=cut if completion.finish_reason == "length" else ""
            ),
        )


def execute(actions: Sequence[Action], environment: Environment) -> tuple[str, bool]:
    """Run the actions of a turn in order; return their observations, joined as readers do, and whether one finishes.

    Actions after one that ends the rollout are not run.
    """
    observations = []
    for action in actions:
        observation = environment.execute(action.name, action.arguments)
        observations.append(observation)
        if action.name in FINISHING or _submits(action, observation):
            return _join(observations), True
    return _join(observations), False


def _submits(action: Action, observation: str) -> bool:
    return action.name == "bash" and observation.lstrip().partition("\n")[0].strip() == SUBMISSION_MARK


def _join(observations: Sequence[str]) -> str:
    return "\n".join(observation for observation in observations if observation)
