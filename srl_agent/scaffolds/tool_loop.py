"""A turn-by-turn agent with tools, as in training; ``srl_agent.steps.render_next`` renders the prompts of both."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from srl_agent.formats import ActionFormat, FormatError, prose
from srl_agent.formats.bash_block import SUBMISSION_MARK
from srl_agent.generation.types import Completion, Sampling
from srl_agent.policies.base import ContextOverflowError, Policy
from srl_agent.scaffolds.base import Ended, Environment, Recorder, Rollout, ScaffoldTask
from srl_agent.steps import PromptSettings, render_next, truncate_middle
from trajectories import Action, Step

FINISHING = frozenset({"submit", "task_done", "finish"})  # actions that end a rollout

_COMPLAINT = """\
Invalid response: {error}{cut}. Nothing was executed.
Write your thoughts between <think> and </think>, then the next action in the form described above."""


@dataclass(frozen=True, kw_only=True)
class ToolLoop(PromptSettings):
    """Prompt (as in training), parse and execute until the agent finishes or reaches a limit; then submit the state."""

    action_format: ActionFormat
    sampling: Sampling | None = None
    max_steps: int = 75  # completions
    max_completion_tokens: int | None = None  # of all completions together
    max_seconds: float | None = None  # checked between steps
    max_malformed: int = 3  # malformed completions in a row that end the rollout

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        record = Recorder.of(policy, scaffold="tool-loop", action_format=self.action_format.name)
        return record.rollout(task, environment, *self._work(task, record, environment))

    def _work(self, task: ScaffoldTask, record: Recorder, environment: Environment) -> Ended:
        started = time.monotonic()
        malformed = 0
        for _ in range(self.max_steps):
            if self.max_seconds is not None and time.monotonic() - started >= self.max_seconds:
                return "time_limit", None
            sampling = self._next_sampling(record.completions)
            if sampling.max_tokens <= 0:
                return "token_limit", None
            prompt = render_next(
                task.problem_statement, record.steps, settings=self, action_format=self.action_format
            )
            try:
                (completion,) = record.generate(prompt, sampling=sampling)
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

    def _next_sampling(self, completions: Sequence[Completion]) -> Sampling:
        """Return the settings of the next completion, with the tokens that are left to it."""
        sampling = self.sampling or Sampling()
        if self.max_completion_tokens is None:
            return sampling
        left = self.max_completion_tokens - sum(completion.completion_tokens for completion in completions)
        return replace(sampling, max_tokens=min(sampling.max_tokens, left))

    def _refused(self, completion: Completion, error: FormatError) -> Step:
        """Return a malformed completion as a step without an action, with the complaint as its observation."""
        was_cut = completion.finish_reason == "length"
        cut = f" (it was cut off at {completion.completion_tokens} tokens)" if was_cut else ""
        thought = truncate_middle(prose(completion.text), self.max_observation_chars)
        return Step(thought=thought, actions=(), observation=_COMPLAINT.format(error=error, cut=cut))


def execute(actions: Sequence[Action], environment: Environment) -> tuple[str, bool]:
    """Run a turn's actions up to one that finishes; return their observations, joined, and whether one did."""
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
