"""Read recipes: a YAML file or a shipped name, with overrides; errors name the nearest key."""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Self, TypeVar

import yaml
from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import ErrorDetails

from harness.cli import UsageError
from harness.config.tables import Recipe, Table
from harness.config.yaml_text import read_yaml, write_yaml
from trajectories.types import JSON


def shipped_recipes(command: str = "train") -> dict[str, Path]:
    """Return the built-in recipes of a command, by name."""
    folder = Path(str(resources.files("harness"))) / "recipes" / command
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Load a training recipe by its shipped name or path, with ``dotted.key=value`` overrides. Raises UserError."""
    return validate(Recipe, *read_recipe(name, overrides, shipped_recipes()))


def read_recipe(
    name: str, overrides: Sequence[str], shipped: Mapping[str, Path]
) -> tuple[dict[str, JSON], str]:
    """Return the table of a recipe with its overrides, and its path. Raises UserError."""
    path = shipped.get(name, Path(name))
    try:
        table = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = f"give a YAML file, or one of {', '.join(shipped)}{nearest(name, shipped)}"
        raise UsageError(f"no recipe {name!r}: {known}") from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise UsageError(f"{path}: not a YAML recipe: {' '.join(str(error).split())}") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path}: a recipe is a table of keys, this is {type(table).__name__}")
    for override in overrides:
        apply_override(table, override)
    return table, str(path)


def read_all(name: str, overrides: Sequence[str] = ()) -> tuple[Recipe | None, list[UsageError]]:
    """Load a training recipe as far as it can be read, and say all that is wrong with it.

    What is wrong is left out, so that its default stands for it. The recipe is None if not even that makes one.
    """
    problems: list[UsageError] = []
    try:
        table, where = read_recipe(name, (), shipped_recipes())
    except UsageError as problem:
        return None, [problem]
    for override in overrides:
        try:
            apply_override(table, override)
        except UsageError as problem:
            problems.append(problem)
    kind: type[Recipe] = Recipe
    while True:
        try:
            return kind.model_validate(table), problems
        except ValidationError as error:
            found = error.errors()
            problems += [UsageError(f"{where}: {_explain(one, Recipe)}") for one in found]
            wrong = {
                (id(parent), key): parent for one in found for parent, key in _innermost(table, one["loc"])
            }
            if not wrong and kind is _Unchecked:
                return None, problems
            if not wrong:
                kind = _Unchecked
            for (_, key), parent in wrong.items():
                del parent[key]


class _Unchecked(Recipe):
    """A recipe whose tables may not go together."""

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        return self


def _innermost(table: JSON, location: Sequence[int | str]) -> list[tuple[dict[str, JSON], str]]:
    """Return the table and key that an error is about, or those of the smallest table around it; none at the root."""
    found: list[tuple[dict[str, JSON], str]] = []
    for key in location:
        if not isinstance(table, dict) or key not in table:
            break
        found = [(table, str(key))]
        table = table[key]
    return found


def as_yaml(table: Table) -> str:
    """Return a recipe as YAML, its keys in order."""
    return write_yaml(table.model_dump(mode="json"))


T = TypeVar("T", bound=Table)


def validate(kind: type[T], table: Mapping[str, object], where: str) -> T:
    """Validate a table. Raises UserError that names ``where``, the key, and for unknown keys the nearest one."""
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        message = "\n".join(f"{where}: {_explain(e, kind)}" for e in error.errors())
        raise UsageError(message) from error


def nearest(key: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?``, or an empty text if nothing is near."""
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def apply_override(table: dict[str, JSON], override: str) -> None:
    """Set ``dotted.key=value`` in a table; the value is YAML. Raises UserError."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"override {override!r}: write key=value, e.g. srl.trl.max_steps=5")
    try:
        set_key(table, key, read_yaml(text))
    except yaml.YAMLError as error:
        raise UsageError(f"override {override!r}: the value is not YAML") from error


def set_key(table: dict[str, JSON], key: str, value: object) -> None:
    """Set a dotted key in a table. Raises UserError if one of its parents is not a table."""
    *parents, last = key.split(".")
    for parent in parents:
        child = table.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UsageError(f"override of {key}: {parent} is not a table")
        table = child
    table[last] = value


def _explain(error: ErrorDetails, root: type[BaseModel]) -> str:
    key = ".".join(map(str, error["loc"]))
    if not key or error["type"] == "value_error":  # about a whole table, or in our own words
        return f"{key}: ".removeprefix(": ") + str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        table = _table_at(error["loc"][:-1], root)
        return f"unknown key {key}{nearest(str(error['loc'][-1]), table.model_fields if table else ())}"
    if error["type"] == "missing":
        return f"missing key {key}"
    return f"{key}: {error['msg']}, not {error['input']!r}"


def _table_at(location: Sequence[int | str], root: type[BaseModel]) -> type[BaseModel] | None:
    table: type[BaseModel] | None = root
    for part in location:
        if isinstance(part, int):
            continue
        field = table.model_fields.get(part) if table else None
        table = _find_table(field.annotation) if field else None
    return table


def _find_table(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    found = (_find_table(argument) for argument in typing.get_args(annotation))
    return next((table for table in found if table), None)
