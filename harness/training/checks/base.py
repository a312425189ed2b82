"""Findings of checks, and what they look at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    TrainerState,
    TrainingArguments,
)

from harness.cli import UsageError, UserError
from harness.config.stages import Stage
from harness.config.tables import Recipe
from harness.data.step_data import StepData
from harness.training.outcomes.base import VerifiedTasks
from srl_agent.generation.chat import Chat
from srl_agent.rewards import WeightedRewards

Level = Literal["error", "warning", "note"]

TOO_MANY = 0.1  # of the training rows: above this share a warning is an error


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A finding of a check. A run with an error is not started."""

    level: Level
    text: str  # where, what, and what to do
    exit_code: int = UsageError.exit_code  # of an error

    def as_error(self) -> UserError:
        """Return the error that a command ends with."""
        return (UsageError if self.exit_code == UsageError.exit_code else UserError)(self.text)


def error(text: str) -> Finding:
    return Finding(level="error", text=text)


def refusal(problem: UserError) -> Finding:
    return Finding(level="error", text=str(problem), exit_code=problem.exit_code)


def warning(text: str) -> Finding:
    return Finding(level="warning", text=text)


def note(text: str) -> Finding:
    return Finding(level="note", text=text)


def graded(text: str, share: float) -> Finding:
    """Return a warning about a share of the training rows; an error if these are too many."""
    return error(text) if share > TOO_MANY else warning(text)


@dataclass(frozen=True, kw_only=True)
class CheckedModel:
    """The model of a recipe without its weights."""

    path: str  # a folder, or a hub id
    chat: Chat
    config: PreTrainedConfig | None
    outline: PreTrainedModel | None  # on the device "meta", with its adapter; None if it cannot be laid out


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Tokens of some training rows of a stage, evenly spread."""

    prompts: Sequence[int]
    completions: Sequence[int]  # the expert's, with the end token; none where there is no expert


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A recipe with all that could be loaded of it; None is what could not, about which there is a finding."""

    recipe: Recipe
    arguments: Mapping[Stage, TrainingArguments]  # TRL's, of the stages whose settings are right
    data: StepData | None
    tasks: VerifiedTasks | None
    rewards: WeightedRewards | None
    model: CheckedModel | None
    rows: Mapping[Stage, int]  # training rows of the stages whose data is there
    state: TrainerState  # what rewards get before training
    processes: int | None  # None: not known, as in a dry run
    lengths: Mapping[Stage, Lengths] = field(
        default_factory=dict
    )  # of the stages whose prompts can be rendered


class Check(Protocol):
    """Looks at one side of a recipe."""

    def __call__(self, subject: Subject) -> Iterator[Finding]: ...


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


def spread(numbers: Sequence[int]) -> str:
    """Return the median, two percentiles and the largest.

    >>> spread([5, 1, 9])
    'median 5, 90 % up to 9, 99 % up to 9, longest 9'
    """
    ordered = sorted(numbers)
    median, ninety, most = (ordered[min(int(len(ordered) * q), len(ordered) - 1)] for q in (0.5, 0.9, 0.99))
    return f"median {median:,}, 90 % up to {ninety:,}, 99 % up to {most:,}, longest {ordered[-1]:,}"
