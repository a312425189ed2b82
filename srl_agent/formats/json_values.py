"""JSON in completions, read strictly: what one program reads and the next one refuses is a format error."""

import json
import math
import sys

from trajectories.schema_check import MAX_DEPTH
from trajectories.types import JSON

_LARGEST = sys.float_info.max


def read_json(text: str, *, depth: int = MAX_DEPTH) -> JSON:
    """Return the value of a JSON text, at most ``depth`` objects and lists deep.

    Raises ValueError for everything else, also for what ``json.loads`` reads although it is no JSON (NaN, Infinity),
    for numbers that a double cannot hold (1e999), and for an object with two values of one name.

    >>> read_json('{"lines": [1, 20]}')
    {'lines': [1, 20]}
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError(_too_deep(depth)) from error
    check_json(value, depth=depth)
    return value


def check_json(value: JSON, *, depth: int = MAX_DEPTH) -> None:
    """Raise ValueError for a value that :func:`read_json` does not return."""
    _check(value, depth, depth)


def _check(value: JSON, left: int, depth: int) -> None:
    if isinstance(value, dict | list):
        if not left:
            raise ValueError(_too_deep(depth))
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, left - 1, depth)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"the number {value} is not finite")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"a number is larger than {_LARGEST:.2g}")


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r:.40} is there twice")
    return value


def _too_deep(depth: int) -> str:
    return f"nested deeper than {depth} levels"
