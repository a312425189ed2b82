"""The ``trl`` tables of a recipe: their keys and the types of their values are those of TRL's configurations."""

import typing
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from trl import GRPOConfig, SFTConfig

from harness.cli import UserError
from harness.config.load import nearest
from harness.config.stages import CONTROL, Stage
from harness.config.tables import Recipe


def trl_config(stage: Stage) -> Any:
    """TRL's configuration, a class, of a stage."""
    return SFTConfig if stage in ("sft", CONTROL) else GRPOConfig


def check_trl_tables(recipe: Recipe) -> None:
    """Read the ``trl`` tables of all stages, also of those that a run leaves out. Raises UserError."""
    for stage in typing.get_args(Stage):
        trl_table(recipe, stage)


def trl_table(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """The ``trl`` table of a stage, each value as the type that TRL declares.

    YAML 1.1, which recipes are read as, takes ``3e-4`` for a text; it is the number here. Raises UserError that names
    a key that TRL does not have, or a value that is not of its type: TRL itself would notice hours later, if at all.
    """
    table: dict[str, Any] = getattr(recipe, stage).trl
    return {key: _value(stage, key, value) for key, value in table.items()}


def _value(stage: Stage, key: str, value: Any) -> Any:
    config = trl_config(stage)
    if key not in config.__dataclass_fields__:
        near = nearest(key, config.__dataclass_fields__)
        raise UserError(f"unknown key {stage}.trl.{key}{near}", exit_code=2)
    try:
        read = _adapter(_kinds(config)[key]).validate_python(value)
    except ValidationError as error:
        wanted = dict.fromkeys(str(e["msg"]).removeprefix("Input should be ") for e in error.errors())
        raise UserError(
            f"{stage}.trl.{key}: should be {' or '.join(wanted)}, not {value!r}", exit_code=2
        ) from error
    return read if isinstance(value, str) else value


@cache
def _kinds(config: Any) -> dict[str, Any]:
    return typing.get_type_hints(config)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
