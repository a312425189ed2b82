"""The keys of report.json (docs/report.md explains them), of a comparison's report.json, and of study.json.

An interval's numbers are None where nothing was measured.
"""

from typing import Literal, NotRequired, Required, TypedDict

from harness.statistics.bootstrap import Conclusion, IntervalJson
from trajectories.types import JSON

CurveName = Literal["reward", "loss", "kept_fraction", "format_failure_rate", "mean_length"]

Pair = TypedDict("Pair", {"from": str, "to": str})


class Conclusive(IntervalJson):
    """A difference and its conclusion; None without a common step."""

    verdict: Conclusion | None


class Difference(Conclusive):
    """A paired difference over ``steps`` steps."""

    steps: int


class StageDifference(Pair, Difference):
    """Between two stages: the trained reward, and every reward."""

    rewards: dict[str, Difference]


class RunDifference(StageDifference):
    """Between two runs."""

    reward: str | None


class LastStep(Difference):
    """The last evaluation of a stage against base."""

    stage: str
    step: int


class KindFigures(IntervalJson):
    """The trained reward on one kind of step, and the means of all rewards."""

    rewards: dict[str, float | None]
    steps: int


class StageFigures(TypedDict):
    """The evaluation that represents a stage."""

    step: int
    of_stage: str
    is_best: bool
    evaluations: int
    step_reward: IntervalJson | None
    rewards: dict[str, IntervalJson]
    steps: int
    unjudged: int
    format_rate: float | None
    reward_if_well_formed: float | None
    exact_match_rate: float | None
    clipped_fraction: float | None
    by_kind: dict[str, KindFigures]


class BestBaseline(IntervalJson):
    """The baseline with the highest mean of a reward."""

    policy: str


class KindMean(TypedDict):
    mean: float
    n: int


class PolicyFigures(TypedDict):
    """One baseline."""

    reads_expert: bool
    action: str | None  # if it is always the same
    rewards: dict[str, IntervalJson]
    by_kind: dict[str, KindMean]


class BaselineFigures(TypedDict):
    best: dict[str, BestBaseline]  # by reward
    policies: dict[str, PolicyFigures]


class AccuracyFigures(IntervalJson):
    """Accuracy of a stage."""

    successes: NotRequired[int]  # missing if no answer is judged
    unjudged: int
    answer_rate: float | None


class AccuracyDifference(Pair, Conclusive):
    p_value: float | None


class Accuracy(TypedDict):
    stages: dict[str, AccuracyFigures]
    differences: list[AccuracyDifference]


class TrainingCurve(TypedDict, total=False):
    """Logged values of a stage, one per step; only the curves that it logs."""

    step: Required[list[int]]
    reward: list[float | None]
    loss: list[float | None]
    kept_fraction: list[float | None]
    format_failure_rate: list[float | None]
    mean_length: list[float | None]


class CurvePoint(IntervalJson):
    stage: str
    step: int


class Curves(TypedDict):
    training: dict[str, TrainingCurve]
    held_out: list[CurvePoint]


class SamplingFigures(TypedDict):
    """Groups that a stage sampled."""

    groups: int
    kept: int
    kept_fraction: float | None
    dropped: dict[str, int]
    completions: int
    format_failure_rate: float | None
    clipped_fraction: float | None
    unjudged: int


class Clipped(TypedDict):
    held_out: float | None
    sampled: float | None


class RunReport(TypedDict):
    """report.json of one run; docs/report.md has a line for each key."""

    schema_version: int
    run: dict[str, JSON]
    trained_on: str
    validation: dict[str, float]
    trained_stage: str | None
    stages: dict[str, StageFigures]
    baseline: BaselineFigures | None
    skill: dict[str, dict[str, IntervalJson]]
    above_baseline: dict[str, dict[str, Difference]]
    clipped_fraction: dict[str, Clipped]
    difference: IntervalJson | None
    verdict: Conclusion | None
    difference_by_kind: dict[str, IntervalJson | None]
    differences: list[StageDifference]
    last_step: LastStep | None
    accuracy: Accuracy | None
    curves: Curves
    sampling: dict[str, SamplingFigures]
    warnings: list[str]


class ComparisonReport(TypedDict):
    """report.json of several runs."""

    schema_version: int
    runs: dict[str, RunReport]
    differences: list[RunDifference]
    accuracy_differences: list[AccuracyDifference]
    settings: dict[str, dict[str, str]]  # key -> run -> value
    warnings: list[str]


class SeedBaseline(TypedDict):
    policy: str
    mean: float | None


class StudyBaseline(IntervalJson):
    by_seed: dict[int, SeedBaseline]


class KindPoint(IntervalJson):
    steps: int


class StudyPoint(IntervalJson):
    """One stage of one arm, or of several arms with the same figures."""

    arm: str
    stage: str
    by_seed: dict[int, float | None]
    skill: IntervalJson | None
    above_baseline: Conclusive | None
    by_kind: dict[str, KindPoint]


class StudyDifference(Pair, Conclusive):
    """Between two points."""


class StudyMetric(TypedDict):
    baseline: StudyBaseline | None
    points: list[StudyPoint]
    differences: list[StudyDifference]


class StudyReport(TypedDict):
    """study.json."""

    schema_version: int
    seeds: list[int]
    metrics: dict[str, StudyMetric]
