"""Where a policy and an environment meet: a scaffold's control flow, and what it leaves behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from srl_agent.formats import Message
from srl_agent.generation.types import Completion, Sampling
from srl_agent.policies.base import ContextOverflowError, Policy
from trajectories import Step, Trajectory

Status = Literal[
    "submitted", "step_limit", "token_limit", "time_limit", "environment_failure", "policy_failure"
]


@dataclass(frozen=True, kw_only=True)
class ScaffoldTask:
    """All that a scaffold may know of a task. The reference patch and the tests are not among it."""

    instance_id: str
    repo: str  # owner/name
    problem_statement: str
    # For oracle-edit: the files that the reference patch touches, none if it only makes new ones; else None.
    shown_files: tuple[str, ...] | None = None


class CommandOutcome(Protocol):
    @property
    def output(self) -> str:
        """stdout and stderr in the order they came, capped: head and tail are kept."""

    @property
    def exit_code(self) -> int | None:
        """None: stopped at a limit."""


class Environment(Protocol):
    """A single-use box with the task's repository in ``/testbed``.

    A call that fails is an observation; a box that breaks raises the environment's own exception, which a
    scaffold lets pass. When the box's time is over every call but ``submission`` raises TimeoutError, which ends a
    rollout as ``time_limit``.
    """

    def execute(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Run one tool call; returns what the agent sees."""

    def run(self, command: str, *, timeout: float | None = None) -> CommandOutcome:
        """Run a shell command in ``/testbed``; ``timeout`` in seconds."""

    def read(self, path: str) -> str | None:
        """Text of a file, ``path`` relative to the repository; None if there is no such text file."""

    def write(self, path: str, text: str) -> None:
        """Replace or create a file, and its folders. Raises OSError where there can be no such file."""

    def submission(self) -> str:
        """The diff from the start to now, new files included. Raises ValueError if none can be made of what is left."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One attempt at a task."""

    trajectory: Trajectory  # with the patch; refused completions are steps without actions
    completions: tuple[Completion, ...]  # every one that was sampled, in order
    status: Status
    error: str | None = None  # what ended it, where the status does not say it all


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
        """Return the rollout of all that was recorded; ``patch`` as in :func:`make_rollout`."""
        return make_rollout(
            task,
            self.policy,
            environment,
            scaffold=self.scaffold,
            steps=self.steps,
            completions=self.completions,
            status=status,
            error=error,
            metadata=self.metadata,
            patch=patch,
        )


class Scaffold(Protocol):
    """A control flow. Its settings are its constructor's keywords."""

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        """Attempt a task. Lets PolicyError and the environment's own failure pass: the caller makes them values."""


def limit_of(error: ContextOverflowError | TimeoutError) -> Status:
    """How a rollout ends that met this error."""
    return "token_limit" if isinstance(error, ContextOverflowError) else "time_limit"


def make_rollout(
    task: ScaffoldTask,
    policy: Policy,
    environment: Environment | None,
    *,
    scaffold: str,
    steps: Sequence[Step],
    completions: Sequence[Completion],
    status: Status,
    error: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    patch: str | None = None,
) -> Rollout:
    """The rollout that these steps are. Unless given, the patch is what the environment holds, however it ended."""
    if patch is None:
        assert environment is not None  # without one there is no patch but a given one
        try:
            patch = environment.submission()
        except ValueError as unusable:
            patch, error = "", error or str(unusable)
    trajectory = Trajectory(
        trajectory_id=f"{task.instance_id}.{policy.name}",
        instance_id=task.instance_id,
        task=task.problem_statement,
        steps=tuple(steps),
        source=scaffold,
        model=policy.name,
        patch=patch,
        metadata={"repo": task.repo, **(metadata or {})},
    )
    return Rollout(trajectory=trajectory, completions=tuple(completions), status=status, error=error)
