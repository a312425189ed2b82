"""Evaluation recipes: which tasks, which policy in which scaffold or whose patches, judged how."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from harness.config import (
    ActionsTable,
    LimitsTable,
    Table,
    TasksTable,
    read_recipe,
    shipped_recipes,
    validate,
)
from harness.run_folder import RunFolder

Source = Literal["gold", "noop", "predictions"]


class PolicyTable(Table):
    """Who makes the predictions."""

    name: (
        str  # expert (replays the demo's trajectories), endpoint, transformers, vllm, or package.module:Class
    )
    settings: dict[str, Any] = Field(default_factory=dict)


class ScaffoldTable(Table):
    """How the policy is asked."""

    name: str = "tool-loop"  # tool-loop, oracle-edit, agentless-mini, mini-swe-agent, or package.module:Class
    settings: dict[str, Any] = Field(default_factory=dict)
    oracle: bool = False  # tell it which files the reference patch touches (oracle-edit needs it)


class EvaluationRecipe(Table):
    """An evaluation."""

    name: str = "evaluation-{time}"  # of the run's folder; {time} stands for date and time
    output: str = "outputs"
    tasks: TasksTable = TasksTable()
    predictions: str | None = (
        None  # a file of predictions, .jsonl or .json; in their stead a policy makes them
    )
    policy: PolicyTable | None = None
    scaffold: ScaffoldTable = ScaffoldTable()
    actions: ActionsTable = ActionsTable()  # the format that the model was trained with
    samples: int = Field(default=1, ge=1)  # predictions that the policy makes for each task
    # What is judged: the reference patches, the empty patch (the two certify the images), the predictions.
    judge: tuple[Source, ...] = Field(default=("gold", "noop"), min_length=1)
    workers: int = Field(default=2, ge=1)  # attempts and verdicts at once
    executor: Literal["threads", "ray"] = "threads"  # of this machine, or of a Ray cluster
    retries: int = Field(default=2, ge=0)  # of a verdict whose box broke
    limits: LimitsTable = LimitsTable()


def load_evaluation(name: str, overrides: Sequence[str] = ()) -> EvaluationRecipe:
    """An evaluation recipe by its shipped name or path, with overrides. Raises UserError."""
    return validate(EvaluationRecipe, *read_recipe(name, overrides, shipped_recipes("evaluate")))


def saved_evaluation(folder: RunFolder) -> EvaluationRecipe:
    """The recipe of an existing run. Raises UserError."""
    return validate(EvaluationRecipe, folder.saved_table(), str(folder.config))
