"""Rows of tokens that begin alike, as a tree in which what they share stands once. Pure: no tensors.

The G samples of a step share its prompt, the prompts of a trajectory's steps are prefixes of one another where the
context is full, and share the task where it is a window. Only the token ids say so here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

SHORTEST = 32  # tokens; sharing a shorter beginning costs more in calls than it saves


@dataclass(eq=False)  # a node is itself, whatever it holds
class Node:
    """Tokens that stand between two branchings, and the rows whose prompt ends with them."""

    start: int  # position of the first token in its rows
    tokens: list[int]
    rows: list[int] = field(default_factory=list)  # whose prompt, but for its last token, ends here
    children: list["Node"] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    def trunk(self) -> list["Node"]:
        """This node and its way down along the child with the longest way, which is one row of tokens."""
        if not self.children:
            return [self]
        ways = [child.trunk() for child in self.children]
        return [self, *max(ways, key=lambda way: way[-1].end)]

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A prompt of at least one token, and a completion."""

    prompt: Sequence[int]
    completion: Sequence[int]

    @property
    def tooth(self) -> list[int]:
        """What is forwarded of a row alone: its completion is predicted from these tokens.

        The prompt's last token is among them, so that what is shared need not be scored.
        """
        return [self.prompt[-1], *self.completion[:-1]] if self.completion else []


def build_trees(rows: Sequence[Row], *, shortest: int = SHORTEST) -> list[Node]:
    """The prompts of the rows as trees, each row in exactly one node.

    Beginnings of fewer than ``shortest`` tokens are not shared.

    >>> rows = [Row(prompt=[1, 2, 3], completion=[4]), Row(prompt=[1, 2, 3, 5, 6], completion=[7])]
    >>> [(node.start, node.tokens, node.rows) for node in build_trees(rows, shortest=1)[0].walk()]
    [(0, [1, 2], [0]), (2, [3, 5], [1])]
    """
    paths = [list(row.prompt[:-1]) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: paths[index])  # rows that begin alike stand together
    return list(_split(order, paths, 0, shortest))


def _split(order: Sequence[int], paths: Sequence[list[int]], start: int, shortest: int) -> Iterator[Node]:
    """Nodes for rows (in the order of their paths) whose first ``start`` tokens are above them."""
    here = 0
    while here < len(order):
        first = paths[order[here]]
        end, common = here + 1, len(first)
        while end < len(order):
            shared = _common(first, paths[order[end]], start, common)
            # A row joins while what all of them share stays long, or is a whole prompt of theirs.
            if shared - start < min(shortest, len(first) - start) or shared == start < len(first):
                break
            common, end = shared, end + 1
        members = order[here:end]
        node = Node(start=start, tokens=first[start:common])
        node.rows = [index for index in members if len(paths[index]) == common]
        rest = [index for index in members if len(paths[index]) > common]
        node.children = list(_split(rest, paths, common, shortest))
        yield node
        here = end


def _common(one: Sequence[int], other: Sequence[int], start: int, most: int) -> int:
    """How many tokens the two share, given that they share ``start``; at most ``most``."""
    end = min(most, len(other))
    if one[start:end] == other[start:end]:
        return end
    low, high = start, end  # they share ``low`` and do not share ``high``
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle)
    return low


def rows_of(input_ids: Any, attention_mask: Any, completion_width: int) -> list[Row]:
    """Rows of a batch as TRL has it: (B, L) tensors, prompts padded on the left, completions on the right."""
    width = input_ids.shape[1] - completion_width
    return [
        Row(
            prompt=[token for token, seen in zip(ids[:width], mask[:width], strict=True) if seen],
            completion=[token for token, seen in zip(ids[width:], mask[width:], strict=True) if seen],
        )
        for ids, mask in zip(input_ids.tolist(), attention_mask.tolist(), strict=True)
    ]


def count_tokens(trees: Sequence[Node], rows: Sequence[Row]) -> tuple[int, int]:
    """Tokens that are forwarded with sharing, and without."""
    shared = sum(len(node.tokens) for tree in trees for node in tree.walk()) + sum(len(r.tooth) for r in rows)
    return shared, sum(len(row.prompt) + len(row.completion) for row in rows)


def count_calls(trees: Sequence[Node]) -> int:
    """Calls of the model that the trees need, if their completions are short: two for each way down to a leaf."""
    return sum(2 for tree in trees for node in tree.walk() if not node.children)
