"""A ``datasets.Dataset`` whose rows are rendered when they are read."""

from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Source(Generic[T]):
    """Items, and what renders them.

    ``datasets`` pickles a transform with all that it refers to, for a fingerprint of its cache, of which these rows
    have no part: that took 4 s at 200,000 steps. A random number stands there instead.
    """

    def __init__(self, items: Sequence[T], render: Callable[[T], Mapping[str, Any]]) -> None:
        self.items = items
        self.render = render

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (token_hex(8),)


def lazy_dataset(items: Sequence[T], render: Callable[[T], Mapping[str, Any]]) -> Any:
    """A ``datasets.Dataset`` of items that are rendered as rows when they are read."""
    from datasets import Dataset

    source = _Source(items, render)  # in a function's closure: copies of the data set share it

    def transform(batch: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
        rows = [source.render(source.items[index]) for index in batch["index"]]
        return {key: [row[key] for row in rows] for key in rows[0]}

    return Dataset.from_dict({"index": list(range(len(items)))}).with_transform(transform)
