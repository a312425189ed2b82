"""Evaluation recipes: which tasks, whose patches, judged how."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from harness.config import Table, read_recipe, shipped_recipes, validate
from harness.run_folder import RunFolder

Source = Literal["gold", "noop", "predictions"]


class TasksTable(Table):
    """Which tasks."""

    source: str = "demo"  # demo, verified, lite, full, a hub name, or a .jsonl, .json or .parquet file
    split: str = "test"
    columns_from: str | None = None  # for rows of SWE-bench's older shape: a source in the newer one
    ids: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    regex: str | None = None  # of the instance id
    slice: str | None = None  # Python's start:stop:step, after the other filters


class LimitsTable(Table):
    """Of each box."""

    memory_gb: float = Field(default=4.0, gt=0)
    cpus: float = Field(default=2.0, gt=0)
    pids: int = Field(default=512, ge=16)
    disk_gb: float = Field(default=4.0, gt=0)  # written by a test run
    test_seconds: float = Field(default=1800.0, gt=0)  # of an instance's tests


class EvaluationRecipe(Table):
    """An evaluation."""

    name: str = "evaluation-{time}"  # of the run's folder; {time} stands for date and time
    output: str = "outputs"
    tasks: TasksTable = TasksTable()
    predictions: str | None = None  # a file of predictions, .jsonl or .json
    # What is judged: the reference patches, the empty patch (the two certify the images), the predictions.
    judge: tuple[Source, ...] = Field(default=("gold", "noop"), min_length=1)
    workers: int = Field(default=2, ge=1)
    retries: int = Field(default=2, ge=0)  # of a verdict whose box broke
    limits: LimitsTable = LimitsTable()


def load_evaluation(name: str, overrides: Sequence[str] = ()) -> EvaluationRecipe:
    """An evaluation recipe by its shipped name or path, with overrides. Raises UserError."""
    return validate(EvaluationRecipe, *read_recipe(name, overrides, shipped_recipes("evaluate")))


def saved_evaluation(folder: RunFolder) -> EvaluationRecipe:
    """The recipe of an existing run. Raises UserError."""
    return validate(EvaluationRecipe, folder.saved_table(), str(folder.config))
