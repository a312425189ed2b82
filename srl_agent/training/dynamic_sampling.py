"""Dynamic sampling, the pure part: which groups carry a signal (paper, section 3; after DAPO, arXiv 2503.14476)."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """When a group is kept, and how long to look for groups to keep."""

    epsilon: float = 1e-3  # keep a group iff the population std of its rewards is above; negative: keep all
    max_rounds: int = 10  # rounds of generation for a batch, the first included; 1: no refill
    steps_per_trajectory: int = 1  # consecutive steps of one trajectory that stand together in a batch
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
    clipped: bool = False  # cut at the longest length allowed


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


_FLOAT_NOISE = 1e-6  # a standard deviation that is no difference


class NoSpreadError(ValueError):
    """No group of a whole training set had a spread in its rewards; the message names the likely cause."""


@dataclass(kw_only=True)
class SpreadTally:
    """What the groups sampled so far were like, for the case that none has a spread in its rewards."""

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
            self.with_spread += group.dropped in (None, "surplus")
            self.largest_std = max(self.largest_std, population_std([s.reward for s in group.samples]))
            for sample in group.samples:
                self.completions += 1
                self.clipped += sample.clipped
                self.malformed += sample.format_error is not None
                self.unjudged += sample.reward is None
                self.format_error = self.format_error or sample.format_error

    def explain(self, *, epsilon: float, longest: int) -> str:
        """Why nothing can be learned, and what to do.

        >>> SpreadTally(groups=9, completions=72, clipped=70).explain(epsilon=0.01, longest=80)
        ... # doctest: +NORMALIZE_WHITESPACE
        'none of 9 sampled groups has a spread in its rewards, so nothing can be learned from them; likely cause: 97 %
        of the completions were cut at max_completion_length (80 tokens): allow longer ones'
        """
        cut, malformed, unjudged = (
            n / self.completions for n in (self.clipped, self.malformed, self.unjudged)
        )
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
            cause = (
                f"{100 * unjudged:.0f} % of the completions could not be judged: look at the reward functions"
            )
        else:
            cause = "all completions of a group score alike: sample at a higher temperature, or use a finer reward"
        return (
            f"none of {self.groups} sampled groups has a spread in its rewards, so nothing can be learned from them; "
            f"likely cause: {cause}"
        )


def shuffled_rows(
    trajectories: Sequence[str], together: int, permutation: Callable[[int], Sequence[int]]
) -> list[int]:
    """All rows in a random order in which ``together`` consecutive rows of one trajectory stand together.

    ``trajectories`` names the trajectory of each row, ``permutation(n)`` draws one of n things. Blocks are cut at a
    random place of each trajectory; the rows outside them are mixed into blocks of the same size, so that all but
    the last block are aligned.

    >>> shuffled_rows(["a", "a", "b", "b", "b"], 2, lambda n: list(range(n)))
    [0, 1, 2, 3, 4]
    """
    if together == 1:
        return list(permutation(len(trajectories)))
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, trajectory in enumerate(trajectories):
        rows_of[trajectory].append(row)
    blocks, rest = [], []
    for rows in rows_of.values():
        start = permutation(len(rows) % together + 1)[0]
        end = start + len(rows) // together * together
        blocks += [rows[here : here + together] for here in range(start, end, together)]
        rest += rows[:start] + rows[end:]
    rest = [rest[i] for i in permutation(len(rest))]
    whole = len(rest) // together * together
    blocks += [rest[here : here + together] for here in range(0, whole, together)]
    return [row for i in permutation(len(blocks)) for row in blocks[i]] + rest[whole:]


class RefillStream:
    """Endless shuffled rows, one order an epoch, as ``shuffled_rows`` has it; its state is one integer."""

    def __init__(self, trajectories: Sequence[str], together: int, seed: int) -> None:
        self._trajectories = trajectories
        self._together = together
        self._seed = seed
        self._drawn: tuple[int, list[int]] = (-1, [])  # epoch and its order
        self.position = 0

    def take(self, count: int) -> list[int]:
        """The next ``count`` rows."""
        rows = []
        for position in range(self.position, self.position + count):
            epoch, offset = divmod(position, len(self._trajectories))
            rows.append(self._order(epoch)[offset])
        self.position += count
        return rows

    def _order(self, epoch: int) -> list[int]:
        if self._drawn[0] != epoch:
            random = np.random.default_rng([self._seed, epoch])
            order = shuffled_rows(
                self._trajectories, self._together, lambda n: random.permutation(n).tolist()
            )
            self._drawn = (epoch, order)
        return self._drawn[1]


def rows_for_refill(missing: int, group_size: int, processes: int) -> int:
    """Groups to draw so that at least ``missing`` come and every process gets as many rows as the others.

    >>> rows_for_refill(3, 4, 8)
    4
    """
    unit = processes // math.gcd(group_size, processes)
    return -(-missing // unit) * unit
