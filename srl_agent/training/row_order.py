"""The order in which rows are trained on, and drawn again to refill a batch. Pure."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np


def shuffled_rows(
    trajectories: Sequence[str], together: int, permutation: Callable[[int], Sequence[int]]
) -> list[int]:
    """Return all rows in a random order in which ``together`` consecutive rows of one trajectory are adjacent.

    ``trajectories`` names the trajectory of each row, ``permutation(n)`` draws one of range(n). Blocks start at a
    random offset of each trajectory; the rows outside them are mixed into blocks of the same size, so that all but the
    last block are aligned.

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
    """Endless shuffled rows, in one order of ``shuffled_rows`` per epoch; its state is one integer."""

    def __init__(self, trajectories: Sequence[str], together: int, seed: int) -> None:
        self._trajectories = trajectories
        self._together = together
        self._seed = seed
        self._drawn: tuple[int, list[int]] = (-1, [])  # epoch and its order
        self.position = 0

    def take(self, count: int) -> list[int]:
        """Return the next ``count`` rows."""
        rows = []
        for position in range(self.position, self.position + count):
            epoch, offset = divmod(position, len(self._trajectories))
            rows.append(self._order(epoch)[offset])
        self.position += count
        return rows

    def _order(self, epoch: int) -> list[int]:
        if self._drawn[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            order = shuffled_rows(self._trajectories, self._together, lambda n: rng.permutation(n).tolist())
            self._drawn = (epoch, order)
        return self._drawn[1]


def rows_for_refill(missing: int, group_size: int, processes: int) -> int:
    """Return how many groups to draw: at least ``missing``, and the same number of rows for every process.

    >>> rows_for_refill(3, 4, 8)
    4
    """
    unit = processes // math.gcd(group_size, processes)
    return -(-missing // unit) * unit
