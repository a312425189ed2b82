"""Evaluation recipes: which tasks, which policy in which scaffold or whose patches, judged how."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.config.load import read_recipe, shipped_recipes, validate
from harness.config.tables import ActionsTable, ContaminationTable, LimitsTable, Table, TasksTable

Source = Literal["gold", "noop", "predictions"]  # whose patch is verified
GOLD: Source = "gold"
NOOP: Source = "noop"
PREDICTIONS: Source = "predictions"
_SANITY_CHECK: tuple[Source, ...] = (GOLD, NOOP)


class PolicyTable(Table):
    """Who makes the predictions."""

    name: (
        str  # expert (replays the demo's trajectories), endpoint, transformers, vllm, or package.module:Class
    )
    settings: dict[str, Any] = Field(default_factory=dict)


class ScaffoldTable(Table):
    """How the policy is asked."""

    # tool-loop, oracle-edit, agentless-mini, mini-swe-agent, math, or package.module:Class; null: tool-loop, or math
    name: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    oracle: bool = False  # tell it which files the reference patch touches (oracle-edit needs it)


class TrainedPolicyTable(Table):
    """Weights of a training run of ours as the policy."""

    run: str  # its folder
    stage: str = "srl"  # base, sft, srl, rlvr, sft_control
    # The tasks are those of the trajectories that the run held out, unless tasks.ids names some.
    held_out: bool = True


class TrainedTable(ContaminationTable):
    """What the policy was trained on, to be held against the tasks."""

    train: tuple[str, ...] = ()  # files of `python -m harness.convert`


class EvaluationRecipe(Table):
    """An evaluation."""

    name: str = "evaluation-{time}"  # of the run's folder; {time} stands for date and time
    output: str = "outputs"
    domain: Literal["swe", "math"] = "swe"
    tasks: TasksTable = (
        TasksTable()
    )  # math: amc23, aime24, aime25, math500, gsm8k, minerva, a hub name, or a file
    contamination: TrainedTable = TrainedTable()
    predictions: str | None = (
        None  # a file of predictions, .jsonl or .json; in their stead a policy makes them
    )
    policy: PolicyTable | None = None
    # In the place of `policy`: a stage of a training run, with the prompts that it was trained with.
    trained_policy: TrainedPolicyTable | None = None
    scaffold: ScaffoldTable = ScaffoldTable()
    actions: ActionsTable = ActionsTable()  # the format that the model was trained with
    samples: int = Field(
        default=1, ge=0
    )  # predictions for each task; math: sampled ones, beside the greedy one
    greedy: bool = True  # math: one greedy answer
    temperature: float = Field(default=1.0, gt=0)  # math: of the sampled answers
    # What is judged: the reference patches, the empty patch (the two certify the images), the predictions.
    judge: tuple[Source, ...] = Field(default=_SANITY_CHECK, min_length=1)
    workers: int = Field(default=2, ge=1)  # attempts and verdicts at once
    executor: Literal["threads", "ray"] = "threads"  # of this machine, or of a Ray cluster
    retries: int = Field(default=2, ge=0)  # of a verdict whose box broke
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
    """An evaluation recipe by its shipped name or path, with overrides. Raises UserError."""
    return validate(EvaluationRecipe, *read_recipe(name, overrides, shipped_recipes("evaluate")))
