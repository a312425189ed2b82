"""Subsets of a data set: trajectories by their ids, by their teacher's model, or at most some of each instance."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from trajectories.filters.base import Filter, FilterResult
from trajectories.types import Trajectory

NOT_LISTED = "not_in_the_ids"
OTHER_MODEL = "other_model"
ENOUGH = "instance_has_enough"

_RENAMED = re.compile(r"~\d{1,9}\Z")  # what makes the id of a later trajectory unique
_SHOWN = 5  # ids in a message


def read_ids(path: Path) -> tuple[str, ...]:
    """Read ids, one a line. Raises ValueError for a file that is missing, empty or no text, and a doubled id."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file: {error}") from error
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise ValueError(f"{path}: no id in it; write one a line")
    if doubled := [name for name, times in Counter(ids).items() if times > 1]:
        raise ValueError(f"{path}: listed more than once: {_some(doubled)}")
    return tuple(ids)


class Ids:
    """A filter that keeps the trajectories of a list of ids, and knows which of these it has not seen."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._seen = dict.fromkeys(ids, 0)
        self._extra = 0

    def __call__(self, trajectory: Trajectory) -> FilterResult:
        return FilterResult(trajectory=trajectory, dropped=self.drop(self.key(trajectory)))

    def key(self, trajectory: Trajectory) -> str:
        return trajectory.trajectory_id

    def drop(self, key: str) -> str | None:
        """Return why the trajectory of this id is dropped. A repeated id, which got a number, is the same id."""
        name = key if key in self._seen else _RENAMED.sub("", key)
        if name not in self._seen:
            self._extra += 1
            return NOT_LISTED
        self._seen[name] += 1
        return None

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name, times in self._seen.items() if not times)

    def accounts(self) -> dict[str, Counter[str]]:
        """Return counts for the ledger, and the missing ids."""
        missing = self.missing
        found = len(self._seen) - len(missing)
        repeated = sum(self._seen.values()) - found
        counts = {"named": len(self._seen), "found": found, "missing": len(missing), "repeated": repeated}
        return {"ids": Counter(counts | {"extra": self._extra}), "ids_missing": Counter(missing)}

    def __str__(self) -> str:
        counts = self.accounts()["ids"]
        text = f"ids: {counts['found']} of {counts['named']} found, {counts['extra']} other trajectories"
        if counts["repeated"]:
            text += f"; {counts['repeated']} more have an id that was found before"
        return f"{text}; missing: {_some(self.missing)}" if self.missing else text


class PerInstance:
    """A filter that keeps the first trajectories of each instance, in reading order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: Counter[str] = Counter()

    def __call__(self, trajectory: Trajectory) -> FilterResult:
        return FilterResult(trajectory=trajectory, dropped=self.drop(self.key(trajectory)))

    def key(self, trajectory: Trajectory) -> str:
        return trajectory.instance_id

    def drop(self, key: str) -> str | None:
        """Return why the next trajectory of this instance is dropped; count it if it is not."""
        if self._kept[key] >= self._most:
            return ENOUGH
        self._kept[key] += 1
        return None


def of_models(keep: Sequence[str]) -> Filter:
    """Return a filter that drops trajectories whose model matches none of these patterns (``claude-3-7-*``)."""

    def apply(trajectory: Trajectory) -> FilterResult:
        model = trajectory.model or ""
        fits = any(fnmatchcase(model, pattern) for pattern in keep)
        return FilterResult(trajectory=trajectory, dropped=None if fits else OTHER_MODEL)

    return apply


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
