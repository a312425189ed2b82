"""Dynamic sampling, the pure part: which groups carry a signal (paper, section 3; after DAPO, arXiv 2503.14476)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """When a group is kept, and how long to look for groups to keep."""

    epsilon: float = 1e-3  # keep a group iff the population std of its rewards is above; negative: keep all
    max_rounds: int = 10  # rounds of generation for a batch, the first included; 1: no refill
    seed: int = 0  # of the order in which refills draw steps


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One completion with its rewards."""

    text: str
    token_ids: list[int]
    logprobs: list[float] | None  # of the sampler; None where it does not report them
    parts: tuple[float | None, ...]  # by reward function
    reward: float | None  # weighted sum; None: unjudged
    format_error: str | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """The G completions of one step."""

    row: dict[str, Any]  # the step's row, prompt included
    samples: tuple[Sample, ...]
    round: int
    dropped: str | None  # reason; None: kept


def population_std(rewards: Sequence[float | None]) -> float:
    """Population standard deviation of the judged rewards; 0 for fewer than two.

    >>> population_std([0.0, 1.0, None])
    0.5
    """
    judged = [reward for reward in rewards if reward is not None]
    return float(np.std(judged)) if len(judged) > 1 else 0.0


def reason_to_drop(rewards: Sequence[float | None], epsilon: float) -> str | None:
    """None for a group that carries a signal. The threshold is never exact zero: float noise is no signal.

    >>> reason_to_drop([0.5, 0.5], 1e-3), reason_to_drop([0.5, 0.9], 1e-3)
    ('reward std <= epsilon', None)
    """
    if epsilon < 0:
        return None
    if sum(reward is not None for reward in rewards) < 2:
        return "fewer than two judged completions"
    return None if population_std(rewards) > epsilon else "reward std <= epsilon"


def carries_only_format(samples: Sequence[Sample], epsilon: float) -> bool:
    """Whether the spread of a group comes from format failures alone."""
    valid = [sample.reward for sample in samples if sample.format_error is None]
    return population_std(valid) <= epsilon


class RefillStream:
    """Endless shuffled indices, one permutation an epoch; its state is one integer."""

    def __init__(self, length: int, seed: int) -> None:
        self._length = length
        self._seed = seed
        self.position = 0

    def take(self, count: int) -> list[int]:
        """The next ``count`` indices."""
        indices = []
        for position in range(self.position, self.position + count):
            epoch, offset = divmod(position, self._length)
            indices.append(int(self._permutation(epoch)[offset]))
        self.position += count
        return indices

    def _permutation(self, epoch: int) -> Any:
        return np.random.default_rng([self._seed, epoch]).permutation(self._length)


def rows_for_refill(missing: int, group_size: int, processes: int) -> int:
    """Groups to draw so that at least ``missing`` come and every process gets as many rows as the others.

    >>> rows_for_refill(3, 4, 8)
    4
    """
    unit = processes // math.gcd(group_size, processes)
    return -(-missing // unit) * unit
