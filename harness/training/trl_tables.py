"""Check the ``trl`` tables of a recipe: keys and value types are those of TRL's configurations."""

import typing
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments
from trl import GRPOConfig, SFTConfig

from harness.cli import UsageError
from harness.config.load import nearest
from harness.config.stages import CONTROL, Stage
from harness.config.tables import Recipe


def trl_config(stage: Stage) -> type[TrainingArguments]:
    """Return the class of TRL's configuration of a stage."""
    config: type[TrainingArguments] = SFTConfig if stage in ("sft", CONTROL) else GRPOConfig
    return config


def check_trl_tables(recipe: Recipe) -> None:
    """Check the ``trl`` tables of all stages, also of those that a run skips. Raises UserError."""
    for stage in typing.get_args(Stage):
        trl_table(recipe, stage)


def trl_table(recipe: Recipe, stage: Stage) -> dict[str, object]:
    """Return the ``trl`` table of a stage, each value as the type that TRL declares.

    YAML 1.1 reads ``3e-4`` as text; here it becomes a number. Raises UserError for a key that TRL does not have, or a
    value of the wrong type: TRL itself would notice hours later, if at all.
    """
    table: dict[str, object] = getattr(recipe, stage).trl
    return {key: _value(stage, key, value) for key, value in table.items()}


def _value(stage: Stage, key: str, value: object) -> object:
    config = trl_config(stage)
    if key not in config.__dataclass_fields__:
        near = nearest(key, config.__dataclass_fields__)
        raise UsageError(f"unknown key {stage}.trl.{key}{near}")
    try:
        read = _adapter(_kinds(stage)[key]).validate_python(value)
    except ValidationError as error:
        wanted = dict.fromkeys(str(e["msg"]).removeprefix("Input should be ") for e in error.errors())
        raise UsageError(f"{stage}.trl.{key}: should be {' or '.join(wanted)}, not {value!r}") from error
    return read if isinstance(value, str) else value


@cache
def _kinds(stage: Stage) -> dict[str, Any]:
    return typing.get_type_hints(trl_config(stage))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
