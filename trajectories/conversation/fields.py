"""Access to fields of foreign documents, in which any field may be missing, null or of any type."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TypeVar

from trajectories.types import JSON, JSONObject

K = TypeVar("K")

LOOKED_AT = 200  # items of a list that are inspected to recognise a format

# Of a data set's row: a list, or its JSON as a text.
CHAT_COLUMNS = ("messages", "trajectory", "conversations", "conversation", "traj", "contents")


def value_at(holder: JSONObject, *keys: str) -> JSON:
    """Return the value under nested keys, None if a part of the way is missing or empty.

    Raises AttributeError if a part of the way is not an object.

    >>> value_at({"agent": {"model": None}}, "agent", "model", "name")
    """
    *way, last = keys
    for key in way:
        holder = holder.get(key) or {}
    return holder.get(last)


def text_at(holder: JSONObject, *keys: str) -> str | None:
    """Return the value as :func:`value_at` does, None unless it is a text."""
    value = value_at(holder, *keys)
    return value if isinstance(value, str) else None


def texts_at(holder: JSONObject, *keys: str) -> dict[str, JSON]:
    """Return those of these fields that are texts."""
    return {key: holder[key] for key in keys if isinstance(holder.get(key), str)}


def as_object(value: JSON, key: str) -> JSONObject:
    """Return the value itself if it is an object, else an object that holds it under ``key``."""
    return value if isinstance(value, dict) else {key: value}


def path_to(key: K, by_id: Mapping[K, JSONObject], parent_of: Callable[[JSONObject], K]) -> list[JSONObject]:
    """Return the records from the root of a tree to the record with id ``key``. A cycle of parents is cut."""
    path: dict[K, JSONObject] = {}
    while key in by_id and key not in path:
        path[key] = by_id[key]
        key = parent_of(path[key])
    return list(path.values())[::-1]


@dataclass(frozen=True, kw_only=True)
class RowFacts:
    """Facts of a data set's row beside its messages, whatever its producer calls them."""

    instance_id: str | None
    trajectory_id: str | None
    model: str | None
    resolved: bool | None
    patch: str | None
    task: str | None  # a column with the task's text
    metadata: dict[str, JSON]  # repo, base_commit, reward


_INSTANCE_IDS = ("instance_id", "task_id", "task_name", "problem_id")
_TRAJECTORY_IDS = ("trajectory_id", "traj_id", "run_id", "id")
_MODELS = ("model", "model_name", "teacher_model", "model_name_or_path")
# A plain ``patch`` is the reference solution in rows that repeat the task's own columns.
_PATCHES = ("model_patch", "generated_patch", "output_patch", "git_patch")
_OF_THE_TASK = ("test_patch", "FAIL_TO_PASS")


def row_facts(row: JSONObject) -> RowFacts:
    """Return the facts of a row; those that it lacks may stand in its ``metadata``."""
    inner = row.get("metadata")
    holders = (row, inner) if isinstance(inner, dict) else (row,)
    patch = _first_text(holders, *_PATCHES) or text_at(_object(row.get("test_result")), "git_patch")
    if not patch and not any(key in row for key in _OF_THE_TASK):
        patch = text_at(row, "patch")
    metadata = {key: text for key in ("agent", "repo", "base_commit") if (text := _first_text(holders, key))}
    reward = next((value for holder in holders if (value := _reward(holder)) is not None), None)
    return RowFacts(
        instance_id=_first_text(holders, *_INSTANCE_IDS),
        trajectory_id=_first_text((row,), *_TRAJECTORY_IDS),
        model=_first_text(holders, *_MODELS),
        resolved=next((value for holder in holders if (value := verdict(holder)) is not None), None),
        patch=patch or None,
        task=_first_text(holders, "problem_statement"),
        metadata=metadata if reward is None else {**metadata, "reward": reward},
    )


def task_number(row: JSONObject) -> int | None:
    """Return the number that a row gives its task, where tasks have no names: those of NeMo Gym and tau-bench.

    >>> task_number({"_ng_task_index": 4, "_ng_rollout_index": 0})
    4
    """
    found = (row.get(key) for key in ("task_id", "_ng_task_index", "task_index", "task_idx", "problem_id"))
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool)), None)


def verdict(row: JSONObject) -> bool | None:
    """Return whether a run solved its task: ``resolved``, or else the reward if it is 0 or 1.

    Some sets hold ``resolved`` as a number: 1 and 0, and -1 where it was not judged.

    >>> verdict({"resolved": 1}), verdict({"resolved": -1, "reward": 1.0}), verdict({"rewards": {"reward": 0.0}})
    (True, None, False)
    """
    if row.get("resolved") is not None:
        return as_verdict(row["resolved"])
    return as_verdict(_reward(row))


def as_verdict(value: JSON) -> bool | None:
    """Return true for True and 1, false for False and 0, None for any other value."""
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return None


def _reward(row: JSONObject) -> float | None:
    reward = row.get("reward")
    if reward is None:
        reward = row.get("rewards")
    if isinstance(reward, dict):
        reward = reward.get("reward", next(iter(reward.values()), None) if len(reward) == 1 else None)
    if isinstance(reward, list):
        reward = reward[0] if len(reward) == 1 else None
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not isfinite(reward):
        return None
    return float(reward)


def _first_text(holders: Iterable[JSONObject], *keys: str) -> str | None:
    """Return the first text that is not empty, by holder and then by key."""
    return next((text for holder in holders for key in keys if (text := text_at(holder, key))), None)


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def has(value: JSON, **kinds: type) -> bool:
    """Return whether a value is an object with fields of these types."""
    if not isinstance(value, dict):
        return False
    for key, kind in kinds.items():  # noqa: SIM110  (it runs some 30 times a document, and all() takes twice as long)
        if not isinstance(value.get(key), kind):
            return False
    return True


def first_of(value: JSON) -> JSON:
    """Return the first item of a list, None for any other value."""
    return value[0] if isinstance(value, list) and value else None


def objects_of(value: JSON) -> list[JSONObject]:
    """Return the objects among the first items of a list, none for any other value."""
    shown = value[:LOOKED_AT] if isinstance(value, list) else []
    return [item for item in shown if isinstance(item, dict)]
