"""The scaffold protocol: a control flow in which a policy acts in an environment, and the rollout it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

from srl_agent.formats import Message
from srl_agent.generation.types import Completion, Sampling
from srl_agent.policies.base import ContextOverflowError, Policy
from trajectories import Step, Trajectory
from trajectories.types import JSON

Status = Literal[
    "submitted", "step_limit", "token_limit", "time_limit", "environment_failure", "policy_failure"
]
Ended = tuple[Status, str | None]  # with details


@dataclass(frozen=True, kw_only=True)
class ScaffoldTask:
    """The part of a task that a scaffold may know: not the reference patch, and not the tests."""

    instance_id: str
    repo: str  # owner/name
    problem_statement: str
    # Only for oracle-edit: the files that the reference patch changes, without those it creates.
    shown_files: tuple[str, ...] | None = None


class CommandOutcome(Protocol):
    """The result of a shell command."""

    @property
    def output(self) -> str:
        """stdout and stderr interleaved; of long output only head and tail."""

    @property
    def exit_code(self) -> int | None:
        """The exit code, None if the command was stopped at a limit."""


class Environment(Protocol):
    """A single-use sandbox with the task's repository in ``/testbed``.

    A call that fails is an observation; a broken sandbox raises the environment's own exception, which a scaffold does
    not catch. After the sandbox's time limit every call except ``submission`` raises TimeoutError, which ends a rollout
    as ``time_limit``.
    """

    def execute(self, name: str, arguments: Mapping[str, JSON]) -> str:
        """Run one tool call; return the observation."""

    def run(self, command: str, *, timeout: float | None = None) -> CommandOutcome:
        """Run a shell command in ``/testbed``; ``timeout`` in seconds."""

    def read(self, path: str) -> str | None:
        """Return the text of a file, None if there is no such text file. ``path`` is relative to the repository."""

    def write(self, path: str, text: str) -> None:
        """Replace or create a file, and its folders. Raises OSError if the path is impossible."""

    def submission(self) -> str:
        """Return the diff from the start to now, with new files. Raises ValueError if there can be none."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One attempt at a task."""

    trajectory: Trajectory  # with the patch; malformed completions are steps without actions
    completions: tuple[Completion, ...]  # all sampled ones, in order
    status: Status
    error: str | None = None  # details of the status


@dataclass(kw_only=True)
class Recorder:
    """A policy that keeps what it generated, and the steps that a scaffold makes of it.

    A caller that passes one as the policy holds the partial attempt when a failure ends it.
    """

    policy: Policy
    scaffold: str = ""
    steps: list[Step] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    metadata: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Policy, *, scaffold: str, **metadata: object) -> Self:
        """Return ``policy`` itself if its caller holds a record, otherwise a new record around it."""
        record = policy if isinstance(policy, cls) else cls(policy=policy)
        record.scaffold = scaffold
        record.metadata |= metadata
        return record

    @property
    def name(self) -> str:
        return self.policy.name

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        made = self.policy.generate(prompt, n=n, sampling=sampling)
        self.completions += made
        return made

    def rollout(
        self,
        task: ScaffoldTask,
        environment: Environment | None,
        status: Status,
        error: str | None = None,
        *,
        patch: str | None = None,
    ) -> Rollout:
        """Return the rollout of all that was recorded; without ``patch``, with the environment's current diff."""
        if patch is None:
            assert environment is not None
            try:
                patch = environment.submission()
            except ValueError as unusable:
                patch, error = "", error or str(unusable)
        trajectory = Trajectory(
            trajectory_id=f"{task.instance_id}.{self.name}",
            instance_id=task.instance_id,
            task=task.problem_statement,
            steps=tuple(self.steps),
            source=self.scaffold,
            model=self.name,
            patch=patch,
            metadata={"repo": task.repo, **self.metadata},
        )
        return Rollout(trajectory=trajectory, completions=tuple(self.completions), status=status, error=error)


class Scaffold(Protocol):
    """A control flow. The keywords of its constructor are its settings."""

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        """Attempt a task. PolicyError and the environment's own failure pass through to the caller."""


def limit_of(error: ContextOverflowError | TimeoutError) -> Status:
    """Return the status of a rollout that this error ends."""
    return "token_limit" if isinstance(error, ContextOverflowError) else "time_limit"
