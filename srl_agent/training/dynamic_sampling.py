"""Dynamic sampling, the pure part: keep groups with nonzero advantages (paper, section 3; DAPO, arXiv 2503.14476)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trajectories.types import JSON


@dataclass(frozen=True, kw_only=True)
class DynamicSampling:
    """When a group is kept, and for how many rounds a batch is refilled."""

    epsilon: float = 1e-3  # keep a group iff the population std of its rewards is above; negative: keep all
    max_rounds: int = 10  # rounds of generation per batch, with the first; 1: no refill
    steps_per_trajectory: int = 1  # consecutive steps of one trajectory that are adjacent in a batch
    seed: int = 0  # of the order in which refills draw steps


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One completion with its rewards."""

    text: str
    token_ids: list[int]
    logprobs: list[float] | None  # of the sampler; None if it does not report them
    parts: tuple[float | None, ...]  # by reward function; None: not scored
    reward: float | None  # weighted sum; None: not scored
    format_error: str | None
    clipped: bool = False  # cut off at max_completion_length
    extra: Mapping[str, JSON] = field(default_factory=dict)  # what rewards logged by ``log_extra``


@dataclass(frozen=True, kw_only=True)
class Group:
    """The G completions of one step."""

    row: Mapping[str, JSON]  # the step's row, with the prompt
    samples: tuple[Sample, ...]
    round: int
    dropped: str | None  # why it is not trained on: no spread, surplus, filler; None: kept

    @property
    def has_spread(self) -> bool:
        """True for a group with nonzero advantages, also where the batch was full already."""
        return self.dropped in (None, "surplus")


def population_std(rewards: Sequence[float | None]) -> float:
    """Return the population standard deviation of the rewards that are not None; 0 for fewer than two.

    >>> population_std([0.0, 1.0, None])
    0.5
    """
    scored = [reward for reward in rewards if reward is not None]
    return float(np.std(scored)) if len(scored) > 1 else 0.0


def reason_to_drop(rewards: Sequence[float | None], epsilon: float) -> str | None:
    """Return None for a group with nonzero advantages. The threshold is above zero because of floating-point noise.

    >>> reason_to_drop([0.5, 0.5], 1e-3), reason_to_drop([0.5, 0.9], 1e-3)
    ('reward std <= epsilon', None)
    """
    if epsilon < 0:
        return None
    if sum(reward is not None for reward in rewards) < 2:
        return "fewer than two judged completions"
    return None if population_std(rewards) > epsilon else "reward std <= epsilon"


def variance_from_format_only(samples: Sequence[Sample], epsilon: float) -> bool:
    """Return whether the spread of a group's rewards comes from format failures alone."""
    valid = [sample.reward for sample in samples if sample.format_error is None]
    return population_std(valid) <= epsilon


def sampling_metrics(
    kept: Sequence[Group], dropped: Sequence[Group], *, rounds: int, wanted: int, epsilon: float
) -> dict[str, float]:
    """Return the metrics of one batch; ``wanted``: groups of a full batch. There is at least one group."""
    groups = [*kept, *dropped]
    samples = [sample for group in groups for sample in group.samples]
    metrics = {
        "sampling/kept_fraction": sum(group.has_spread for group in groups) / len(groups),
        "sampling/filled_fraction": len(kept) / wanted,
        "sampling/rounds": float(rounds),
        "sampling/groups": float(len(groups)),
        "sampling/tokens": float(sum(len(sample.token_ids) for sample in samples)),
        "sampling/clipped_fraction": sum(sample.clipped for sample in samples) / len(samples),
        "sampling/format_failure_rate": sum(s.format_error is not None for s in samples) / len(samples),
    }
    valid = [s.reward for s in samples if s.format_error is None and s.reward is not None]
    if valid:
        metrics["sampling/reward_of_valid"] = sum(valid) / len(valid)
    if kept:
        only = sum(variance_from_format_only(group.samples, epsilon) for group in kept)
        metrics["sampling/format_only_fraction"] = only / len(kept)
    return metrics


_FLOAT_NOISE = 1e-6  # a standard deviation up to this is rounding


class NoSpreadError(ValueError):
    """No group of the whole training set had a spread in its rewards; the message names the likely cause."""


@dataclass(kw_only=True)
class SpreadTally:
    """Counts over the groups sampled so far, to explain a run in which none has a spread in its rewards."""

    groups: int = 0
    with_spread: int = 0
    completions: int = 0
    clipped: int = 0
    malformed: int = 0
    unjudged: int = 0
    largest_std: float = 0.0
    format_error: str | None = None  # the first one

    def add(self, groups: Sequence[Group]) -> None:
        for group in groups:
            self.groups += 1
            self.with_spread += group.has_spread
            self.largest_std = max(self.largest_std, population_std([s.reward for s in group.samples]))
            for sample in group.samples:
                self.completions += 1
                self.clipped += sample.clipped
                self.malformed += sample.format_error is not None
                self.unjudged += sample.reward is None
                self.format_error = self.format_error or sample.format_error

    def explain(self, *, epsilon: float, longest: int) -> str:
        """Explain why nothing can be learned, and what to do.

        >>> SpreadTally(groups=9, completions=72, clipped=70).explain(epsilon=0.01, longest=80)
        ... # doctest: +NORMALIZE_WHITESPACE
        'none of 9 sampled groups has a spread in its rewards, so nothing can be learned from them; likely cause: 97 %
        of the completions were cut at max_completion_length (80 tokens): allow longer ones'
        """
        counts = (self.clipped, self.malformed, self.unjudged)
        cut, malformed, unjudged = (count / self.completions for count in counts)
        if self.largest_std > _FLOAT_NOISE:
            cause = (
                f"the largest standard deviation within a group is {self.largest_std:.2g}, and sampling.epsilon "
                f"({epsilon:g}) drops what is not above it: lower it"
            )
        elif cut > 0.5:
            cause = (
                f"{100 * cut:.0f} % of the completions were cut at max_completion_length ({longest} tokens): "
                "allow longer ones"
            )
        elif malformed > 0.9:
            cause = (
                f"{100 * malformed:.0f} % of the completions have a broken format (the first: {self.format_error}): "
                "train by SFT first (stages: [sft, srl]), or start from a model that knows the format"
            )
        elif unjudged > 0.5:
            share = f"{100 * unjudged:.0f} %"
            cause = f"{share} of the completions could not be scored: check the reward functions"
        else:
            cause = "all completions of a group score alike: sample at a higher temperature, or use a finer reward"
        return (
            f"none of {self.groups} sampled groups has a spread in its rewards, so nothing can be learned from them; "
            f"likely cause: {cause}"
        )
