"""Evaluation recipes: which tasks, which policy in which scaffold or whose patches, verified how."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from harness.config.load import read_recipe, shipped_recipes, validate
from harness.config.tables import ActionsTable, ContaminationTable, LimitsTable, Table, TasksTable
from trajectories.types import JSON

Source = Literal["gold", "noop", "predictions"]  # whose patch is verified
GOLD: Source = "gold"
NOOP: Source = "noop"
PREDICTIONS: Source = "predictions"
_SANITY_CHECK: tuple[Source, ...] = (GOLD, NOOP)


class PolicyTable(Table):
    """Who makes the predictions."""

    # expert (replays the demo's trajectories), endpoint, transformers, vllm, or package.module:Class
    name: str
    settings: dict[str, JSON] = Field(default_factory=dict)


class ScaffoldTable(Table):
    """How the policy is asked."""

    # tool-loop, oracle-edit, agentless-mini, mini-swe-agent, math, or package.module:Class; null: tool-loop, or math
    name: str | None = None
    settings: dict[str, JSON] = Field(default_factory=dict)
    oracle: bool = False  # show it which files the reference patch touches (oracle-edit needs it)


class PolicyActionsTable(ActionsTable):
    """How the policy writes its actions."""

    thinks: bool = True  # false: an action alone, as trained with steps.thoughts: none

    @model_validator(mode="after")
    def _names_tools(self) -> Self:
        if self.tools == "auto":
            raise ValueError(
                "tools: auto is for training data; name the tools that the policy was trained with"
            )
        return self


class TrainedPolicyTable(Table):
    """Weights of a training run as the policy."""

    run: str  # its folder
    stage: str = "srl"  # base, sft, srl, rlvr, sft_control
    # The tasks are those of the trajectories that the run held out, unless tasks.ids names some.
    held_out: bool = True
    # Settings of the policy `endpoint`, for a server of these weights; the model's name there is the stage's unless
    # `model` says another. null: the weights are loaded in this process.
    endpoint: dict[str, JSON] | None = None


class TrainedTable(ContaminationTable):
    """Training data of the policy, to compare the tasks with."""

    train: tuple[str, ...] = ()  # files of `python -m harness.convert`


class EvaluationRecipe(Table):
    """An evaluation."""

    name: str = "evaluation-{time}"  # of the run's folder; {time} stands for date and time
    output: str = "outputs"
    domain: Literal["swe", "math"] = "swe"
    # math: amc23, aime24, aime25, math500, gsm8k, minerva, a hub name, or a file
    tasks: TasksTable = TasksTable()
    contamination: TrainedTable = TrainedTable()
    predictions: str | None = None  # a file of predictions, .jsonl or .json; null: a policy makes them
    policy: PolicyTable | None = None
    # Instead of `policy`: a stage of a training run, with the prompts that it was trained with.
    trained_policy: TrainedPolicyTable | None = None
    scaffold: ScaffoldTable = ScaffoldTable()
    actions: PolicyActionsTable = PolicyActionsTable()  # the format that the model was trained with
    # Predictions for each task; math: sampled answers, beside the greedy one.
    samples: int = Field(default=1, ge=0)
    greedy: bool = True  # math: one greedy answer
    temperature: float = Field(default=1.0, gt=0)  # math: of the sampled answers
    # What is verified: the reference patches, the empty patch (the two are the sanity check), the predictions.
    judge: tuple[Source, ...] = Field(default=_SANITY_CHECK, min_length=1)
    workers: int = Field(default=2, ge=1)  # attempts and verdicts in parallel
    executor: Literal["threads", "ray"] = "threads"  # on this machine, or on a Ray cluster
    retries: int = Field(default=2, ge=0)  # of an attempt or a verdict whose sandbox broke
    # The run stops when its policy fails this many attempts in a row: its server is down, say. null: never.
    max_policy_failures: int | None = Field(default=8, ge=1)
    limits: LimitsTable = LimitsTable()
    verifier_seconds: float = Field(default=5.0, gt=0)  # math: for one answer

    @model_validator(mode="after")
    def _domain_has_what_it_needs(self) -> "EvaluationRecipe":
        if self.domain == "swe" and self.samples < 1:
            raise ValueError("samples: at least 1 in the domain swe")
        if self.domain == "math":
            if self.policy is None:
                raise ValueError(
                    "domain math: say which policy answers (policy.name, policy.settings; trained_policy is for swe)"
                )
            if self.executor != "threads":
                raise ValueError(
                    "executor: threads in the domain math; a server spreads the work of its model itself"
                )
            if self.predictions is not None or self.judge != _SANITY_CHECK:
                raise ValueError("judge and predictions are for the domain swe")
            if not (self.greedy or self.samples):
                raise ValueError("greedy is false and samples is 0: nothing is asked for")
        return self


def load_evaluation(name: str, overrides: Sequence[str] = ()) -> EvaluationRecipe:
    """Load an evaluation recipe by its shipped name or path, with overrides. Raises UserError."""
    return validate(EvaluationRecipe, *read_recipe(name, overrides, shipped_recipes("evaluate")))
