"""Attempts by a policy in a scaffold, each in a fresh sandbox."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from environments.failures import EnvironmentFailure
from environments.sandbox.agent import AgentSandbox
from environments.sandbox.container import Container, Limits
from environments.sandbox.history import strip_future_commits
from environments.swe.tasks import SWETask
from harness.cli import UsageError, user_errors
from harness.config.evaluation import EvaluationRecipe
from harness.config.tables import LimitsTable
from harness.demo import expert_path
from srl_agent.formats import ActionFormat, Message, get_format
from srl_agent.models.packaged import ModelError
from srl_agent.policies import Completion, Policy, PolicyError, Sampling, make_policy
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds import Recorder, Rollout, Scaffold, ScaffoldTask, load_scaffold
from srl_agent.scaffolds.tool_loop import ToolLoop
from trajectories.store import read_trajectories

EXPERT = "expert"  # the policy of the embedded set


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A policy in a scaffold. Its sandboxes hold nothing of the repository's history after the base commit."""

    policy: Policy
    scaffold: Scaffold
    limits: Limits
    oracle: bool  # the scaffold learns which files the reference patch touches

    def attempt(self, task: SWETask, sample: int = 0) -> Rollout:
        """Attempt a task. A failure of the policy or the environment is a status of what was done until then."""
        shown = self.shown(task)
        record = Recorder(policy=_OtherSeed(policy=self.policy, sample=sample))
        metadata: dict[str, object] = {}
        try:
            with self.sandbox(task, metadata) as sandbox:
                rollout = self.scaffold.run(shown, record, sandbox)
        except EnvironmentFailure as error:
            rollout = record.rollout(shown, None, "environment_failure", str(error), patch="")
        except PolicyError as error:
            rollout = record.rollout(shown, None, "policy_failure", str(error), patch="")
        made = rollout.trajectory
        trajectory = replace(
            made,
            trajectory_id=f"{made.trajectory_id}.{sample}" if sample else made.trajectory_id,
            metadata={**made.metadata, **metadata},
        )
        return replace(rollout, trajectory=trajectory)

    @contextmanager
    def sandbox(self, task: SWETask, metadata: dict[str, object]) -> Iterator[AgentSandbox]:
        """Open a sandbox for an attempt; note in ``metadata`` what history was stripped. Raises EnvironmentFailure."""
        with Container(task.image, limits=self.limits) as container:
            metadata["future_removed"] = asdict(strip_future_commits(container, task.base_commit))
            yield AgentSandbox(container)

    def shown(self, task: SWETask) -> ScaffoldTask:
        """Return what the scaffold may know of a task."""
        return ScaffoldTask(
            instance_id=task.instance_id,
            repo=task.repo,
            problem_statement=task.problem_statement,
            shown_files=task.patched_files if self.oracle else None,
        )


@dataclass(frozen=True, kw_only=True)
class _OtherSeed:
    """The policy with another seed for each sample of a task, where a seed is set."""

    policy: Policy
    sample: int

    @property
    def name(self) -> str:
        return self.policy.name

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        if sampling.seed is not None:
            sampling = replace(sampling, seed=sampling.seed + self.sample)
        return self.policy.generate(prompt, n=n, sampling=sampling)


def sandbox_limits(table: LimitsTable) -> Limits:
    """Return the limits of an attempt's sandbox."""
    shared = table.model_dump(exclude={"attempt_seconds", "test_seconds"})
    return Limits(**shared, sandbox_seconds=table.attempt_seconds)


def make_agent(recipe: EvaluationRecipe) -> Agent:
    """Return the recipe's policy in its scaffold. Raises UserError."""
    if recipe.policy is None:
        raise UsageError("judge names predictions: say which (predictions=FILE), or a policy that makes them")
    name = recipe.scaffold.name or "tool-loop"
    if name == "oracle-edit" and not recipe.scaffold.oracle:
        raise UsageError("scaffold oracle-edit needs the reference patch's files: set scaffold.oracle=true")
    with user_errors(ValueError, usage=True), user_errors(PolicyError, ModelError, about="policy"):
        action_format = get_format(recipe.actions.format, recipe.actions.tools, thinks=recipe.actions.thinks)
        scaffold = load_scaffold(name, recipe.scaffold.settings, action_format=action_format)
        if recipe.policy.name == EXPERT:
            policy = _expert(action_format, scaffold)
        else:
            policy = make_policy(recipe.policy.name, recipe.policy.settings)
    limits = sandbox_limits(recipe.limits)
    return Agent(policy=policy, scaffold=scaffold, limits=limits, oracle=recipe.scaffold.oracle)


def _expert(action_format: ActionFormat, scaffold: Scaffold) -> Policy:
    """Return the demo's expert, step by step. Raises UserError for a scaffold without steps."""
    if not isinstance(scaffold, ToolLoop):
        raise UsageError(
            "policy expert replays the demo's trajectories, turn by turn: scaffold.name=tool-loop"
        )
    return ScriptedPolicy.from_trajectories(
        read_trajectories(expert_path()), action_format=action_format, settings=scaffold, name=EXPERT
    )
