"""Duplicate trajectories: the same calls as an earlier one, exactly or nearly."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from random import Random

from trajectories.filters.base import FilterResult
from trajectories.types import Action, Trajectory

_RUN = 3  # lines of the actions' text that make a shingle
_SAMPLE = 1024  # remembered shingles of a trajectory: those with the smallest hashes
_BANDS, _ROWS = 32, 4  # of the sketch: a similarity of 0.7 shares a band with p = 0.9999
_PRIME = (1 << 61) - 1
_RANDOM = Random(0)
_HASHES = [(_RANDOM.randrange(1, _PRIME), _RANDOM.randrange(_PRIME)) for _ in range(_BANDS * _ROWS)]
_DIGITS = str.maketrans("123456789", "000000000")

Shingles = frozenset[int]
Band = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Key:
    """Parts of a trajectory that are compared."""

    digest: bytes
    shingles: Shingles = frozenset()
    bands: tuple[Band, ...] = ()


class Duplicates:
    """A filter that keeps the first of several duplicates. It remembers what it kept, so each run needs a new one.

    Exact: same task, thoughts, calls and results; ids and metadata do not count. Near: the lines of the calls, in
    runs of three and without digits and indentation, have a Jaccard similarity of at least ``near``; candidates are
    found by MinHash in bands and then compared.
    """

    def __init__(self, *, near: float | None) -> None:
        self._near = near
        self._exact: set[bytes] = set()
        self._kept: list[Shingles] = []
        self._bands: dict[Band, list[int]] = {}

    def __call__(self, trajectory: Trajectory) -> FilterResult:
        return FilterResult(trajectory=trajectory, dropped=self.drop(self.key(trajectory)))

    def key(self, trajectory: Trajectory) -> Key:
        """Return what is compared of a trajectory. Nothing is remembered."""
        digest = _digest(trajectory)
        if self._near is None:
            return Key(digest=digest)
        own = shingles(trajectory)
        return Key(digest=digest, shingles=own, bands=tuple(_sketch(own)))

    def drop(self, key: Key) -> str | None:
        """Return why the next trajectory is dropped; remember it if it is not."""
        if key.digest in self._exact:
            return "duplicate"
        self._exact.add(key.digest)
        if self._near is not None and self._is_near(key.shingles, key.bands, self._near):
            return "near_duplicate"
        return None

    def _is_near(self, own: Shingles, bands: Sequence[Band], near: float) -> bool:
        """Return whether a remembered trajectory is at least as similar as ``near``. Remember this one if not."""
        candidates = {position for band in bands for position in self._bands.get(band, ())}
        if any(similarity(own, self._kept[position]) >= near for position in candidates):
            return True
        for band in bands:
            self._bands.setdefault(band, []).append(len(self._kept))
        self._kept.append(own)
        return False


def _digest(trajectory: Trajectory) -> bytes:
    steps = [[step.thought, _calls(step.actions), step.observation] for step in trajectory.steps]
    return sha256(json.dumps([trajectory.task, steps], sort_keys=True).encode()).digest()


def _calls(actions: Iterable[Action]) -> list[list[object]]:
    return [[action.name, dict(action.arguments)] for action in actions]


def shingles(trajectory: Trajectory) -> Shingles:
    """Return hashes of all runs of three lines of the actions' text, at most 1024 of them."""
    lines = [line for step in trajectory.steps for action in step.actions for line in _lines(action)]
    lines = ["", *lines, ""]
    runs = {"\n".join(lines[start : start + _RUN]) for start in range(max(len(lines) - _RUN + 1, 1))}
    encoded = (run.encode("utf-8", "surrogatepass") for run in runs)
    hashes = (int.from_bytes(blake2b(run, digest_size=7).digest()) for run in encoded)
    return frozenset(sorted(hashes)[:_SAMPLE])


def _lines(action: Action) -> Iterator[str]:
    yield action.name
    for name, value in sorted(action.arguments.items()):
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for line in text.translate(_DIGITS).split("\n"):
            if stripped := line.strip():
                yield f"{name} {stripped}"


def similarity(a: Shingles, b: Shingles) -> float:
    """Return the Jaccard similarity; for long trajectories, that of a sample of their shingles.

    >>> similarity(frozenset({1, 2, 3}), frozenset({2, 3, 4}))
    0.5
    """
    union = a | b
    if len(union) > _SAMPLE:
        union = frozenset(sorted(union)[:_SAMPLE])
    return len(a & b & union) / len(union) if union else 1.0


def _sketch(own: Shingles) -> Iterator[Band]:
    """Yield the bands of the MinHash, each with its index."""
    least = [min(((a * value + b) % _PRIME for value in own), default=0) for a, b in _HASHES]
    for band in range(_BANDS):
        yield (band, *least[band * _ROWS : (band + 1) * _ROWS])
