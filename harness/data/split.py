"""Hold out whole groups of trajectories or tasks, and thin lists evenly."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from trajectories.task_ids import task_id, task_key

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Split:
    """Positions of trajectories or tasks. No group is on both sides."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


def split_groups(
    groups: Sequence[str],
    *,
    by: str,
    fraction: float,
    count: int | None = None,
    held_out: Sequence[str] = (),
    seed: int = 0,
) -> Split:
    """Split positions by the name of the group that each is in; ``by`` says what a group is.

    Names of one task or repository that are written otherwise (rollouts of a task, capital letters) are one group.
    The groups for validation are those named ``held_out``, or else the first ones in the order of sha256 of
    ``<seed>:<name>`` until they have ``count`` positions, or the ``fraction`` of all. Raises ValueError for an unknown
    group and for an empty side.
    """
    positions: dict[str, list[int]] = {}
    names: dict[str, str] = {}  # as the first one is written
    for position, group in enumerate(groups):
        name = names.setdefault(_key(group, by), task_id(group) if by == "instance" else group)
        positions.setdefault(name, []).append(position)
    held_out = [names.get(_key(name, by), name) for name in held_out]
    if missing := [name for name in held_out if name not in positions]:
        raise ValueError(f"held out, but not in the data: {', '.join(missing)}; it has {_some(positions)}")
    wanted = fraction * len(groups) if count is None else count
    chosen = set(held_out) or _choose_groups(positions, wanted=wanted, seed=seed)
    validation = sorted(p for name in chosen for p in positions[name])
    train = sorted(p for name, group in positions.items() if name not in chosen for p in group)
    if not train or not validation:
        raise ValueError(
            f"the split leaves no {'validation' if train else 'training'} trajectories or tasks "
            f"({len(groups)} in {len(positions)} {by} group(s)): "
            "add data, split by instance, or name what to hold out"
        )
    return Split(train=tuple(train), validation=tuple(validation))


def _key(name: str, by: str) -> str:
    return task_key(name) if by == "instance" else name.casefold()


def _choose_groups(positions: Mapping[str, Sequence[int]], *, wanted: float, seed: int) -> set[str]:
    chosen: set[str] = set()
    count = 0
    for name in sorted(positions, key=lambda name: sha256(f"{seed}:{name}".encode()).digest()):
        if count >= wanted:
            break
        chosen.add(name)
        count += len(positions[name])
    return chosen


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")


def evenly(items: Sequence[T], limit: int | None) -> Sequence[T]:
    """Return at most ``limit`` of the items, evenly spread over them; all of them for None."""
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]
