"""Select training steps or tasks by a profile: the rewards of the initial policy on each of them.

Most steps teach GRPO nothing at first: all completions score the same. A profile, made once before training
(``python -m harness.profile``), finds those with a spread ("pivots", arXiv 2603.21383).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pvariance
from typing import Annotated, TypedDict, TypeVar

from pydantic import Field, StrictInt, StrictStr

from harness.cli import UsageError, UserError
from harness.config.tables import SelectTable
from harness.jsonl import read_objects
from srl_agent.typed_values import read_value
from trajectories.types import JSON

Key = tuple[str, int]  # (trajectory, step), or (task, 0)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The rewards of the initial policy's completions of one step, or task."""

    name: str
    step: int
    rewards: tuple[float | None, ...]  # None: unjudged
    format_failures: int

    @property
    def judged(self) -> list[float]:
        return [reward for reward in self.rewards if reward is not None]

    @property
    def mean(self) -> float | None:
        return fmean(self.judged) if self.judged else None

    @property
    def variance(self) -> float | None:
        """Return the population variance, as dynamic sampling computes it."""
        return pvariance(self.judged) if len(self.judged) > 1 else None

    def as_row(self) -> dict[str, JSON]:
        return {
            "trajectory_id": self.name,
            "step_index": self.step,
            "rewards": list(self.rewards),
            "mean": self.mean,
            "variance": self.variance,
            "format_failures": self.format_failures,
        }


@dataclass(frozen=True, kw_only=True)
class SelectionRow:
    """One step or task: kept or not, and why."""

    trajectory_id: str
    step_index: int
    kept: bool
    reason: str
    mean: float | None
    variance: float | None


def read_profile(path: Path) -> dict[Key, Profile]:
    """Read a profile; the last row of a step counts. Raises UserError naming file and line."""
    if not path.is_file():
        raise UsageError(f"select.profile: no file {path}; make one with `python -m harness.profile`")
    found: dict[Key, Profile] = {}
    for line in read_objects(path):
        try:
            profile = _profile(line.fields)
        except ValueError as error:
            raise UserError(
                f"{line.where}: not a profile row: {error}; make one with `python -m harness.profile`"
            ) from error
        found[profile.name, profile.step] = profile
    return found


_COLUMNS = {
    "trajectory_id": StrictStr,
    "step_index": StrictInt,
    "rewards": list[Annotated[float, Field(strict=True, allow_inf_nan=False)] | None],
    "format_failures": StrictInt,
}


def _profile(row: Mapping[str, JSON]) -> Profile:
    """Raises ValueError for a column that is missing or of another type."""
    if missing := _COLUMNS.keys() - row.keys():
        raise ValueError(f"{', '.join(sorted(missing))}: missing")
    for name, kind in _COLUMNS.items():
        try:
            read_value(row[name], kind)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return Profile(
        name=row["trajectory_id"],
        step=row["step_index"],
        rewards=tuple(row["rewards"]),
        format_failures=row["format_failures"],
    )


def select_by_profile(
    items: Sequence[T], keys: Iterable[Key], table: SelectTable, *, what: str
) -> tuple[list[T], Counter[str], list[SelectionRow]]:
    """Return the items that the table keeps, the counts of reasons for the others, and a row for each item.

    Raises UserError if no item is kept.
    """
    profiles = read_profile(Path(table.profile).expanduser())
    kept: list[T] = []
    rows: list[SelectionRow] = []
    for item, (name, step) in zip(items, keys, strict=True):
        profile = profiles.get((name, step))
        reason = _reason_to_exclude(profile, table)
        if reason is None:
            kept.append(item)
        rows.append(
            SelectionRow(
                trajectory_id=name,
                step_index=step,
                kept=reason is None,
                reason=reason or "kept",
                mean=profile.mean if profile else None,
                variance=profile.variance if profile else None,
            )
        )
    excluded = Counter(row.reason for row in rows if not row.kept)
    if not kept:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in excluded.items())
        raise UserError(f"select: none of {len(items)} {what} is left of {table.profile} ({reasons})")
    return kept, excluded, rows


def _reason_to_exclude(profile: Profile | None, table: SelectTable) -> str | None:
    if profile is None:
        return "not in the profile"
    mean, variance = profile.mean, profile.variance
    if mean is None or variance is None:
        return "fewer than two judged completions"
    if variance <= table.min_variance:
        return f"variance of the initial policy's rewards <= {table.min_variance:g}"
    if table.max_mean is not None and mean >= table.max_mean:
        return f"mean of the initial policy's rewards >= {table.max_mean:g}"
    return None


class ProfileSummary(TypedDict):
    """The figures of a whole profile."""

    profiled: int
    with_spread: int
    without_spread: int
    unjudged: int
    mean: float | None
    format_failure_rate: float | None


def summarize(profiles: Iterable[Profile]) -> ProfileSummary:
    """Return how many of the profiles have a spread of rewards, and their mean reward."""
    profiles = list(profiles)
    means = [p.mean for p in profiles if p.mean is not None and p.variance is not None]
    with_spread = sum(bool(p.variance) for p in profiles)
    completions = sum(len(p.rewards) for p in profiles)
    failures = sum(p.format_failures for p in profiles)
    return {
        "profiled": len(profiles),
        "with_spread": with_spread,
        "without_spread": len(means) - with_spread,
        "unjudged": len(profiles) - len(means),
        "mean": fmean(means) if means else None,
        "format_failure_rate": failures / completions if completions else None,
    }
