"""Which steps or tasks a start model can learn from: profiles of its rewards, and a selection by them.

Most steps teach GRPO nothing at first: all completions score the same. A profile, made once before training
(``python -m harness.profile``), finds those with a spread ("pivots", arXiv 2603.21383).
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any, TypeVar

from harness.cli import UserError
from harness.config.tables import SelectTable

Key = tuple[str, int]  # (trajectory, step), or (task, 0)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a start model's completions of one step, or task, scored."""

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
        """Of the population, as dynamic sampling has it."""
        return pvariance(self.judged) if len(self.judged) > 1 else None

    def as_row(self) -> dict[str, Any]:
        return {
            "trajectory_id": self.name,
            "step_index": self.step,
            "rewards": list(self.rewards),
            "mean": self.mean,
            "variance": self.variance,
            "format_failures": self.format_failures,
        }


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What became of one step, and why."""

    trajectory_id: str
    step_index: int
    kept: bool
    reason: str
    mean: float | None
    variance: float | None

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def read_profile(path: Path) -> dict[Key, Profile]:
    """The rows of a profile; the last one of a step counts. Raises UserError with file and line."""
    if not path.is_file():
        raise UserError(
            f"select.profile: no file {path}; make one with `python -m harness.profile`", exit_code=2
        )
    found: dict[Key, Profile] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            profile = Profile(
                name=row["trajectory_id"],
                step=row["step_index"],
                rewards=tuple(row["rewards"]),
                format_failures=row["format_failures"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}:{number}: no row of a profile: {error!r}") from error
        found[profile.name, profile.step] = profile
    return found


def select(
    items: Sequence[T], keys: Iterable[Key], table: SelectTable, *, what: str
) -> tuple[list[T], Counter[str], list[Choice]]:
    """The items that the table keeps, how many it left out for which reason, and what became of each.

    Raises UserError if nothing is left, or if none of the items is in the profile.
    """
    profiles = read_profile(Path(table.profile).expanduser())
    kept: list[T] = []
    choices: list[Choice] = []
    for item, (name, step) in zip(items, keys, strict=True):
        profile = profiles.get((name, step))
        reason = _reason_to_leave_out(profile, table)
        if reason is None:
            kept.append(item)
        choices.append(
            Choice(
                trajectory_id=name,
                step_index=step,
                kept=reason is None,
                reason=reason or "kept",
                mean=profile.mean if profile else None,
                variance=profile.variance if profile else None,
            )
        )
    left_out = Counter(choice.reason for choice in choices if not choice.kept)
    if not kept:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in left_out.items())
        raise UserError(f"select: none of {len(items)} {what} is left of {table.profile} ({reasons})")
    return kept, left_out, choices


def _reason_to_leave_out(profile: Profile | None, table: SelectTable) -> str | None:
    if profile is None:
        return "not in the profile"
    mean, variance = profile.mean, profile.variance
    if mean is None or variance is None:
        return "fewer than two judged completions"
    if variance <= table.min_variance:
        return f"variance of the start model's rewards <= {table.min_variance:g}"
    if table.max_mean is not None and mean >= table.max_mean:
        return f"mean of the start model's rewards >= {table.max_mean:g}"
    return None


def summarize(profiles: Iterable[Profile]) -> Mapping[str, Any]:
    """Of a whole profile: how many have a spread, by what share of the mean."""
    profiles = list(profiles)
    judged = [p for p in profiles if p.variance is not None and p.mean is not None]
    spread = [p for p in judged if p.variance]
    completions = sum(len(p.rewards) for p in profiles)
    return {
        "profiled": len(profiles),
        "with_spread": len(spread),
        "without_spread": len(judged) - len(spread),
        "unjudged": len(profiles) - len(judged),
        "mean": fmean(p.mean for p in judged if p.mean is not None) if judged else None,
        "format_failure_rate": sum(p.format_failures for p in profiles) / completions
        if completions
        else None,
    }
