"""The control of RL: as many updates of SFT as fit into the time that RL took in the same run."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.config.stages import RL
from harness.jsonl import read_rows


def control_updates(metrics: Path) -> int:
    """Return the updates of SFT that take the time of the RL stages in a run's metrics.jsonl, at least 1."""
    return updates_in_time(read_rows(metrics))


def updates_in_time(rows: Iterable[Mapping[str, Any]]) -> int:
    """Compute :func:`control_updates` from rows. The mean excludes the first update of SFT, which is slow once.

    >>> sft = [{"stage": "sft", "step": n, "train_seconds": 5.0 + 2 * n} for n in (1, 2, 3)]
    >>> updates_in_time([*sft, {"stage": "srl", "step": 4, "train_seconds": 9.0}])
    4
    """
    seconds: dict[str, dict[int, float]] = {}
    for row in rows:
        if "train_seconds" in row:
            seconds.setdefault(row["stage"], {})[row["step"]] = row["train_seconds"]
    sft = _intervals(seconds["sft"])
    updates, spent = _total(sft[1:] or sft)
    of_rl = sum(_total(_intervals(seconds[stage]))[1] for stage in RL if stage in seconds)
    return max(1, int(of_rl * updates / max(spent, 0.01)))  # times are written to 0.01 s


def _intervals(seconds: dict[int, float]) -> list[tuple[int, float]]:
    """Return (updates, seconds) between rows, given the seconds from the start at each step."""
    points = [(0, 0.0), *sorted(seconds.items())]
    return [(step - before, now - then) for (before, then), (step, now) in pairwise(points)]


def _total(intervals: Sequence[tuple[int, float]]) -> tuple[int, float]:
    """Sum updates and seconds.

    An update that took ten times the median or more counts as the median: the process was stopped for a while.
    """
    usual = statistics.median(spent / updates for updates, spent in intervals)
    return sum(updates for updates, _ in intervals), sum(
        spent if spent <= 10 * usual * updates else usual * updates for updates, spent in intervals
    )


def last_train_seconds(metrics: Path, stage: str) -> float:
    """Return the seconds that a stage has trained so far, 0 before its first update."""
    trained = [row for row in read_rows(metrics) if row["stage"] == stage and "train_seconds" in row]
    return max((row["train_seconds"] for row in trained), default=0.0)
