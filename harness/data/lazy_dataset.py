"""A ``datasets.Dataset`` whose rows are rendered when they are read."""

from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Generic, TypeVar

from trajectories.types import JSON

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T")


class _Source(Generic[T]):
    """Items and their renderer.

    ``datasets`` pickles a transform with everything that it refers to, for the fingerprint of its cache, which these
    rows do not use: that took 4 s at 200,000 steps. It pickles a random number instead.
    """

    def __init__(self, items: Sequence[T], render: Callable[[T], Mapping[str, JSON]]) -> None:
        self.items = items
        self.render = render

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (token_hex(8),)


def lazy_dataset(items: Sequence[T], render: Callable[[T], Mapping[str, JSON]]) -> "Dataset":
    """Return a ``datasets.Dataset`` of items that are rendered as rows when they are read."""
    from datasets import Dataset

    source = _Source(items, render)  # in a closure: copies of the data set share it

    def transform(batch: Mapping[str, Sequence[int]]) -> dict[str, list[JSON]]:
        rows = [source.render(source.items[index]) for index in batch["index"]]
        return {key: [row[key] for row in rows] for key in rows[0]}

    return Dataset.from_dict({"index": list(range(len(items)))}).with_transform(transform)
