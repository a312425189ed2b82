"""The results in a run's folder, from which a report is made. Texts stay on disk; only their offsets are in memory."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import yaml

from harness.statistics.bootstrap import StepKey
from trajectories.types import JSON

Evaluation = tuple[str, int]  # (stage, training step)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """One validation step (or task) in one evaluation: means over its samples, without their texts."""

    kind: str
    reward: float | None  # over judged samples
    parts: Mapping[str, float | None]  # reward by name
    well_formed: float  # share of the samples
    exact_match: float  # share of the samples
    clipped: float | None  # share of the samples cut at the length limit; None: not recorded by older runs
    rewards_if_well_formed: tuple[float, ...]  # of judged samples
    samples: int
    unjudged: int  # samples
    expert_digest: int  # distinguishes steps that only share trajectory and index
    offset: int  # of the first sample's line in the file


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineResult:
    """One validation step answered by a baseline: a line of baselines.jsonl."""

    kind: str
    reward: float | None
    parts: Mapping[str, float | None]
    action: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledGroup:
    """One group that a stage sampled: a line of samples.jsonl without its texts."""

    completions: int
    format_failures: int
    unjudged: int
    clipped: int | None  # None: not recorded by older runs
    spread: float | None
    reason: str | None  # why it was dropped; None: kept
    offset: int


Results = Mapping[StepKey, StepResult]


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The content of a run's folder so far."""

    folder: Path
    manifest: Mapping[str, JSON]
    config: str  # as written; empty without a config.yaml
    training: Mapping[str, Mapping[int, Mapping[str, float | None]]]  # stage -> step -> metrics
    validation: Mapping[Evaluation, Results]  # steps, in the order of the evaluations
    outcomes: Mapping[Evaluation, Results]  # verified tasks; empty without any
    groups: Mapping[str, Mapping[int, tuple[SampledGroup, ...]]]  # stage -> step -> groups
    trained_on: str  # the reward, as one name
    validation_settings: dict[str, float]  # temperature and samples of validation completions
    baselines: Mapping[str, Mapping[StepKey, BaselineResult]]  # by policy
    # By policy: the figures of floor.json, in runs from before baselines.jsonl.
    baseline_means: Mapping[str, Mapping[str, JSON]] | None
    # The step in checkpoints/<stage>/best.json; None: no checkpoint beat the initial weights.
    best_steps: Mapping[str, int | None]
    warnings: tuple[str, ...]

    @property
    def evaluations(self) -> Mapping[Evaluation, Results]:
        """Return the results of steps, or of verified tasks in a run that measures only these."""
        return self.validation or self.outcomes

    @property
    def name(self) -> str:
        return str(self.manifest.get("run_name") or self.folder.resolve().name)

    def read_line(self, file: str, offset: int) -> dict[str, JSON]:
        """Read a line again, with its texts."""
        with (self.folder / file).open("rb") as lines:
            lines.seek(offset)
            return as_step(json.loads(lines.readline()))


def as_step(fields: dict[str, JSON]) -> dict[str, JSON]:
    """Return a line about a verified task in the columns of a step; other lines as they are.

    Runs of version 0.1 wrote such lines in a step's columns.
    """
    if "task_id" not in fields:
        return fields
    task = {"trajectory_id": fields["task_id"], "step_index": 0, "kind": "answer", "rewards": {}}
    answer = {"expert_action": fields.get("reference"), "exact_match": fields.get("solved") is True}
    return {**task, **answer, **fields}


def config_table(config: str) -> dict[str, JSON]:
    """Return the table of a config.yaml; empty if that was edited by hand since and is none."""
    try:
        table = yaml.safe_load(config)
    except yaml.YAMLError:
        return {}
    return table if isinstance(table, dict) else {}


def completions_of(results: Results) -> int:
    """Return the number of completions of an evaluation; an interrupted one has fewer than the others."""
    return sum(result.samples for result in results.values())


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """Return the mean of the judged values, None without any."""
    judged = [value for value in values if value is not None]
    return fmean(judged) if judged else None


def number_or_none(value: object) -> float | None:
    """Return a finite number as float, None for anything else (some loggers write NaN for an unjudged reward)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
