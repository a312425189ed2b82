"""``--filters``: the choice, order and settings of the filters of trajectories.filters."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from harness.cli import UsageError, user_errors
from harness.config.load import nearest, read_recipe, shipped_recipes, validate
from harness.config.tables import Table
from trajectories.filters import actions, cheating, failed, labels, loops, redaction, subsets, verdicts
from trajectories.filters.base import Filter, Found, Then, on_steps
from trajectories.filters.duplicates import Duplicates
from trajectories.filters.pipeline import FilterPipeline

Cheating = Literal[
    "reads_the_future", "fetches_the_fix", "installs_a_release", "deletes_tests", "weakens_tests"
]
Redacted = Literal["private_key", "token", "authorization", "url_login", "email", "home"]


class FilterTable(Table):
    """A filter and its settings."""

    name: str

    @abstractmethod
    def make(self) -> Filter: ...


class StepsTable(FilterTable):
    """A filter that finds steps."""

    find: ClassVar[Callable[..., Found]]
    then: Then = "context"  # keep (and count), context (shown, never a target), drop_step, drop_trajectory

    def make(self) -> Filter:
        return on_steps(partial(type(self).find, **self.model_dump(exclude={"name", "then"})), self.then)


class VerdictsTable(FilterTable):
    drop_unverified: bool = False  # also drop trajectories without a verdict

    def make(self) -> Filter:
        return verdicts.resolved_only(drop_unverified=self.drop_unverified)


class MadeUpSubmitsTable(StepsTable):
    find = actions.made_up_submits
    then: Then = "drop_step"


class EmptyActionsTable(StepsTable):
    find = actions.empty_actions


class FailedActionsTable(StepsTable):
    find = failed.failed_actions
    exit_codes: tuple[int, ...] = (124, 126, 127, -1)  # timed out, not executable, not found, killed


class LoopsTable(StepsTable):
    find = loops.loops
    repeats: int = Field(default=3, ge=2)  # rounds in a row that make a loop
    longest_cycle: int = Field(default=4, ge=1)  # steps of a round, at most


class LongActionsTable(StepsTable):
    find = actions.long_actions
    max_chars: int = Field(default=12_000, ge=1)  # of the calls of a step as JSON


class CheatingTable(StepsTable):
    find = cheating.cheating
    then: Then = "drop_trajectory"
    rules: tuple[Cheating, ...] = Field(default=cheating.RULES, validate_default=True)


class RedactionTable(FilterTable):
    rules: tuple[Redacted, ...] = Field(default=tuple(redaction.RULES), validate_default=True)

    def make(self) -> Filter:
        return redaction.redacted(rules=self.rules)


class LabelsTable(FilterTable):
    licence: str | None = None  # of the data, for metadata["licence"]
    model: str | None = None  # the teacher, where the source names none

    def make(self) -> Filter:
        return labels.labelled(licence=self.licence, model=self.model)


class IdsTable(FilterTable):
    file: Path  # one id a line

    def make(self) -> Filter:
        with user_errors(ValueError, about=f"filter {self.name}", usage=True):
            return subsets.Ids(subsets.read_ids(self.file.expanduser()))


class ModelsTable(FilterTable):
    keep: tuple[str, ...] = Field(min_length=1)  # patterns such as claude-3-7-*

    def make(self) -> Filter:
        return subsets.of_models(self.keep)


class PerInstanceTable(FilterTable):
    most: int = Field(default=3, ge=1)  # trajectories of an instance that are kept, in reading order

    def make(self) -> Filter:
        return subsets.PerInstance(self.most)


class DuplicatesTable(FilterTable):
    # Jaccard similarity from which on a trajectory is dropped; null: exact duplicates only.
    near: float | None = Field(default=0.9, ge=0.7, le=1)

    def make(self) -> Filter:
        return Duplicates(near=self.near)


FILTERS: Mapping[str, type[FilterTable]] = {
    "verdicts": VerdictsTable,
    "made_up_submits": MadeUpSubmitsTable,
    "empty_actions": EmptyActionsTable,
    "failed_actions": FailedActionsTable,
    "loops": LoopsTable,
    "long_actions": LongActionsTable,
    "cheating": CheatingTable,
    "redaction": RedactionTable,
    "labels": LabelsTable,
    "ids": IdsTable,
    "models": ModelsTable,
    "per_instance": PerInstanceTable,
    "duplicates": DuplicatesTable,
}


def load_filters(name: str) -> tuple[FilterTable, ...]:
    """Read the filters of a YAML file or of a shipped recipe, in its order. Raises UserError."""
    if name in FILTERS and not Path(name).exists():
        raise UsageError(
            f"--filters takes a recipe, and {name} is one filter: write a file with `filters: [{{name: {name}}}]`"
        )
    with user_errors(UsageError, about="--filters", usage=True):
        table, where = read_recipe(name, (), shipped_recipes("convert"))
    if unknown := table.keys() - {"filters"}:
        key = sorted(map(str, unknown))[0]
        raise UsageError(f"{where}: unknown key {key}{nearest(key, ['filters'])}")
    entries = table.get("filters")
    if not isinstance(entries, list):
        raise UsageError(f"{where}: filters is a list of tables such as {{name: loops}}")
    return tuple(_load(entry, f"{where}: filter {number}") for number, entry in enumerate(entries, 1))


def _load(entry: object, where: str) -> FilterTable:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(name, str) or name not in FILTERS:
        near = nearest(name, FILTERS) if isinstance(name, str) else ""
        raise UsageError(f"{where}: name is one of {', '.join(FILTERS)}, not {name!r}{near}")
    return validate(FILTERS[name], entry, f"{where} ({name})")


def make_filters(
    filters: str | None, licence: str | None, ids: Path | None = None
) -> tuple[FilterPipeline, tuple[FilterTable, ...]]:
    """Return the filters of ``--ids``, ``--licence`` and ``--filters``, and their settings. Raises UserError."""
    tables = load_filters(filters) if filters else ()
    if licence is not None:
        tables = (LabelsTable(name="labels", licence=licence), *tables)
    if ids is not None:  # first: what is not listed is not looked at
        tables = (IdsTable(name="ids", file=ids), *tables)
    return FilterPipeline([table.make() for table in tables]), tables
