"""Check the ``trl`` tables of a recipe: keys and value types are those of TRL's configurations."""

import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from transformers import TrainingArguments
from trl import GRPOConfig, SFTConfig

from harness.cli import UsageError
from harness.config.load import nearest
from harness.config.stages import CONTROL, Stage
from harness.config.tables import Recipe
from srl_agent.typed_values import read_value

STAGES: tuple[Stage, ...] = typing.get_args(Stage)


def trl_config(stage: Stage) -> type[TrainingArguments]:
    """Return the class of TRL's configuration of a stage."""
    config: type[TrainingArguments] = SFTConfig if stage in ("sft", CONTROL) else GRPOConfig
    return config


def check_trl_tables(recipe: Recipe) -> None:
    """Check the ``trl`` tables of all stages, also of those that a run skips. Raises UserError with all problems."""
    problems = [text for stage in STAGES for text in table_problems(stage, getattr(recipe, stage).trl)]
    if problems:
        raise UsageError("\n".join(problems))


def trl_table(recipe: Recipe, stage: Stage) -> dict[str, object]:
    """Return the ``trl`` table of a stage, each value as the type that TRL declares.

    Raises UserError for a key that TRL does not have, or a value of the wrong type: TRL itself would notice hours
    later, if at all.
    """
    table: dict[str, object] = getattr(recipe, stage).trl
    if problems := list(table_problems(stage, table)):
        raise UsageError("\n".join(problems))
    return {key: read_value(value, _kinds(stage)[key]) for key, value in table.items()}


def table_problems(stage: Stage, table: Mapping[str, object]) -> Iterator[str]:
    """Yield what is wrong with a ``trl`` table: a line for each wrong key and value."""
    known = trl_config(stage).__dataclass_fields__
    for key, value in table.items():
        if key not in known:
            yield f"unknown key {stage}.trl.{key}{nearest(key, known)}"
            continue
        try:
            read_value(value, _kinds(stage)[key])
        except ValueError as error:
            yield f"{stage}.trl.{key}: {error}"


@cache
def _kinds(stage: Stage) -> dict[str, Any]:
    return typing.get_type_hints(trl_config(stage))
