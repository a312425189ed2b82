"""From a recipe to the worker that does its items."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from environments.sandbox.agent import AgentSandbox
from environments.sandbox.container import Container, Limits
from environments.sandbox.history import strip_future_commits
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier
from harness.cli import UserError
from harness.config.evaluation import EvaluationRecipe
from harness.config.tables import LimitsTable
from harness.demo import expert_path
from harness.evaluation.swe.attempts import Worker
from harness.evaluation.swe.predictions import PREDICTIONS, Prediction
from harness.evaluation.swe.runner import Verdicts
from srl_agent.formats import ActionFormat, Message, get_format
from srl_agent.models.packaged import ModelError
from srl_agent.plugins import PluginError
from srl_agent.policies import Completion, Policy, PolicyError, Sampling, make_policy
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds import Rollout, Scaffold, ScaffoldTask, load_scaffold
from srl_agent.scaffolds.tool_loop import ToolLoop
from trajectories.store import read_trajectories

EXPERT = "expert"  # the policy of the embedded set


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Attempts by a policy in a scaffold, each in a sandbox of its own from which the future was removed."""

    policy: Policy
    scaffold: Scaffold
    limits: Limits
    oracle: bool  # the scaffold is told which files the reference patch touches

    def __call__(self, task: SWETask, sample: int) -> Rollout:
        """Raises EnvironmentFailure and PolicyError."""
        policy = _OtherSeed(policy=self.policy, sample=sample)
        with Container(task.image, limits=self.limits) as container:
            future = strip_future_commits(container, task.base_commit)
            rollout = self.scaffold.run(self._shown(task), policy, AgentSandbox(container))
        made = rollout.trajectory
        trajectory = replace(
            made,
            trajectory_id=f"{made.trajectory_id}.{sample}" if sample else made.trajectory_id,
            metadata={**made.metadata, "future_removed": asdict(future)},
        )
        return replace(rollout, trajectory=trajectory)

    def _shown(self, task: SWETask) -> ScaffoldTask:
        return ScaffoldTask(
            instance_id=task.instance_id,
            repo=task.repo,
            problem_statement=task.problem_statement,
            shown_files=task.patched_files if self.oracle else None,
        )


@dataclass(frozen=True, kw_only=True)
class _OtherSeed:
    """The policy with a seed of its own for each sample of a task, where a seed is set."""

    policy: Policy
    sample: int

    @property
    def name(self) -> str:
        return self.policy.name

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        if sampling.seed is not None:
            sampling = replace(sampling, seed=sampling.seed + self.sample)
        return self.policy.generate(prompt, n=n, sampling=sampling)


def make_worker(
    recipe: EvaluationRecipe, predictions: Mapping[str, Prediction], verdicts: Verdicts
) -> tuple[Worker, str | None]:
    """The worker of a recipe, which asks ``verdicts`` before it judges, and the name that its predictions bear.

    The name is None if no predictions are judged. Raises UserError.
    """
    limits = sandbox_limits(recipe.limits)
    attempt = None
    name = ", ".join(sorted({given.model_name_or_path for given in predictions.values()})) or None
    if PREDICTIONS in recipe.judge and recipe.predictions is None:
        attempt = make_attempt(recipe, limits)
        name = attempt.policy.name
    worker = Worker(
        verifier=ContainerVerifier(limits=limits, test_seconds=recipe.limits.test_seconds),
        retries=recipe.retries,
        predictions=predictions,
        attempt=attempt,
        known=verdicts.get,
    )
    return worker, name


def sandbox_limits(table: LimitsTable) -> Limits:
    """Return the limits of an attempt's sandbox."""
    shared = table.model_dump(exclude={"attempt_seconds", "test_seconds"})
    return Limits(**shared, sandbox_seconds=table.attempt_seconds)


def make_attempt(recipe: EvaluationRecipe, limits: Limits) -> Attempt:
    """The recipe's policy in its scaffold. Raises UserError."""
    if recipe.policy is None:
        raise UserError(
            "judge names predictions: say which (predictions=FILE), or a policy that makes them", exit_code=2
        )
    name = recipe.scaffold.name or "tool-loop"
    if name == "oracle-edit" and not recipe.scaffold.oracle:
        raise UserError(
            "scaffold oracle-edit needs the reference patch's files: set scaffold.oracle=true", exit_code=2
        )
    try:
        action_format = get_format(recipe.actions.format, recipe.actions.tools)
        scaffold = load_scaffold(name, recipe.scaffold.settings, action_format=action_format)
        if recipe.policy.name == EXPERT:
            policy = _expert(action_format, scaffold)
        else:
            policy = make_policy(recipe.policy.name, recipe.policy.settings)
    except PluginError as error:
        raise UserError(str(error), exit_code=2) from error
    except (PolicyError, ModelError) as error:
        raise UserError(f"policy: {error}") from error
    except ValueError as error:  # a setting of the scaffold
        raise UserError(str(error), exit_code=2) from error
    return Attempt(policy=policy, scaffold=scaffold, limits=limits, oracle=recipe.scaffold.oracle)


def _expert(action_format: ActionFormat, scaffold: Scaffold) -> Policy:
    """The demo's expert, step by step. Raises UserError where it has no steps to give."""
    if not isinstance(scaffold, ToolLoop):
        raise UserError(
            "policy expert replays the demo's trajectories, turn by turn: scaffold.name=tool-loop",
            exit_code=2,
        )
    return ScriptedPolicy.from_trajectories(
        read_trajectories(expert_path()), action_format=action_format, settings=scaffold.prompt, name=EXPERT
    )
