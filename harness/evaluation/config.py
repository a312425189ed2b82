"""Evaluation recipes: which tasks, which policy in which scaffold, judged how."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from harness.config import ActionsTable, Table, read_recipe, shipped_recipes, validate
from harness.run_folder import RunFolder

Source = Literal["gold", "noop", "policy"]


class TasksTable(Table):
    """Which tasks."""

    source: str = "demo"  # demo, verified, lite, full, a hub name, or a .jsonl, .json or .parquet file
    split: str = "test"
    columns_from: str | None = None  # for rows of SWE-bench's older shape: a source in the newer one
    ids: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    regex: str | None = None  # of the instance id
    slice: str | None = None  # Python's start:stop:step, after the other filters


class PolicyTable(Table):
    """Who answers."""

    name: str = "expert"  # expert (replays the demo's trajectories), endpoint, transformers, vllm, package.module:Class
    settings: dict[str, Any] = Field(default_factory=dict)


class ScaffoldTable(Table):
    """How it is asked."""

    name: str = "tool-loop"  # tool-loop, oracle-edit, agentless-mini, mini-swe-agent, package.module:Class
    settings: dict[str, Any] = Field(default_factory=dict)


class LimitsTable(Table):
    """Of each box."""

    memory_gb: float = Field(default=4.0, gt=0)
    cpus: float = Field(default=2.0, gt=0)
    pids: int = Field(default=512, ge=16)
    disk_gb: float = Field(default=4.0, gt=0)  # written by an attempt
    command_seconds: float = Field(default=120.0, gt=0)  # of one command of an attempt
    attempt_seconds: float = Field(default=3600.0, gt=0)  # of one attempt
    test_seconds: float = Field(default=1800.0, gt=0)  # of an instance's tests


class EvaluationRecipe(Table):
    """An evaluation."""

    name: str = "evaluation-{time}"  # of the run's folder; {time} stands for date and time
    output: str = "outputs"
    tasks: TasksTable = TasksTable()
    policy: PolicyTable = PolicyTable()
    scaffold: ScaffoldTable = ScaffoldTable()
    actions: ActionsTable = ActionsTable()  # the format that the model was trained with
    samples: int = Field(default=1, ge=1)  # attempts at each task
    predictions: str | None = None  # judge these (.jsonl, .json) in place of attempts by the policy
    judge: tuple[Source, ...] = Field(
        default=("gold", "noop", "policy"), min_length=1
    )  # the certificate, too
    workers: int = Field(default=2, ge=1)
    executor: Literal["threads", "ray"] = "threads"
    retries: int = Field(default=2, ge=0)  # of an attempt or a verdict whose box broke
    limits: LimitsTable = LimitsTable()


def load_evaluation(name: str, overrides: Sequence[str] = ()) -> EvaluationRecipe:
    """An evaluation recipe by its shipped name or path, with overrides. Raises UserError."""
    return validate(EvaluationRecipe, *read_recipe(name, overrides, shipped_recipes("evaluate")))


def saved_evaluation(folder: RunFolder) -> EvaluationRecipe:
    """The recipe of an existing run. Raises UserError."""
    return validate(EvaluationRecipe, folder.saved_table(), str(folder.config))
