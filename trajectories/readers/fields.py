"""Access to fields of foreign documents, in which any field may be missing, null or of any type."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from trajectories.types import JSON, JSONObject

K = TypeVar("K")


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
    return value if isinstance(value, Mapping) else {key: value}


def path_to(key: K, by_id: Mapping[K, JSONObject], parent_of: Callable[[JSONObject], K]) -> list[JSONObject]:
    """Return the records from the root of a tree to the record with id ``key``. A cycle of parents is cut."""
    path: dict[K, JSONObject] = {}
    while key in by_id and key not in path:
        path[key] = by_id[key]
        key = parent_of(path[key])
    return list(path.values())[::-1]
