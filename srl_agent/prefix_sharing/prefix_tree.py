"""A prefix tree of rows of tokens: each shared prefix is in it once. Pure Python, no tensors are needed.

The G completions of a step share its prompt. The prompts of a trajectory's steps are prefixes of one another if the
context is full, and share the task if it is a window. Only the token ids are compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SHORTEST = 32  # tokens; sharing a shorter prefix costs more in calls than it saves


@dataclass(eq=False)  # compared by identity
class Node:
    """The tokens between two branching points, and the rows whose prompt ends with them."""

    start: int  # position of the first token in its rows
    tokens: list[int]
    # Indices of rows whose prompt, without its last token, ends here.
    rows: list[int] = field(default_factory=list)
    children: list["Node"] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    def trunk(self) -> list["Node"]:
        """Return the longest path from this node down to a leaf, in tokens."""
        if not self.children:
            return [self]
        paths = [child.trunk() for child in self.children]
        return [self, *max(paths, key=lambda path: path[-1].end)]

    def walk(self) -> Iterator["Node"]:
        """Yield this node and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A prompt of at least one token, and a completion, as token ids."""

    prompt: Sequence[int]
    completion: Sequence[int]

    @property
    def suffix_tokens(self) -> list[int]:
        """The input tokens, from the prompt's last one on, that predict this row's completion."""
        return [self.prompt[-1], *self.completion[:-1]] if self.completion else []


def build_trees(rows: Sequence[Row], *, shortest: int = SHORTEST) -> list[Node]:
    """Return the prompts of the rows as prefix trees; each row is in exactly one node.

    Prefixes of fewer than ``shortest`` tokens are not shared.

    >>> rows = [Row(prompt=[1, 2, 3], completion=[4]), Row(prompt=[1, 2, 3, 5, 6], completion=[7])]
    >>> [(node.start, node.tokens, node.rows) for node in build_trees(rows, shortest=1)[0].walk()]
    [(0, [1, 2], [0]), (2, [3, 5], [1])]
    """
    paths = [list(row.prompt[:-1]) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: paths[index])  # neighbours share prefixes
    return list(_split(order, paths, 0, shortest))


def _split(order: Sequence[int], paths: Sequence[list[int]], start: int, shortest: int) -> Iterator[Node]:
    """Yield nodes for rows (in the order of their paths) whose first ``start`` tokens are in ancestors."""
    here = 0
    while here < len(order):
        first = paths[order[here]]
        end, common = here + 1, len(first)
        while end < len(order):
            shared = _common(first, paths[order[end]], start, common)
            # A row joins while the common prefix stays long, or is the whole prompt of one of them.
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
    """Return the length of the common prefix, at most ``most``, given that the first ``start`` tokens agree."""
    end = min(most, len(other))
    if one[start:end] == other[start:end]:
        return end
    low, high = start, end  # the first ``low`` tokens agree, the first ``high`` do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle)
    return low


def rows_of(input_ids: "torch.Tensor", attention_mask: "torch.Tensor", completion_width: int) -> list[Row]:
    """Return the rows of TRL's batch: (B, L) tensors, prompts padded on the left, completions on the right."""
    width = input_ids.shape[1] - completion_width
    return [
        Row(
            prompt=[token for token, seen in zip(ids[:width], mask[:width], strict=True) if seen],
            completion=[token for token, seen in zip(ids[width:], mask[width:], strict=True) if seen],
        )
        for ids, mask in zip(input_ids.tolist(), attention_mask.tolist(), strict=True)
    ]


def count_tokens(trees: Sequence[Node], rows: Sequence[Row]) -> tuple[int, int]:
    """Return how many tokens are computed with sharing, and without."""
    in_trees = sum(len(node.tokens) for tree in trees for node in tree.walk())
    shared = in_trees + sum(len(row.suffix_tokens) for row in rows)
    return shared, sum(len(row.prompt) + len(row.completion) for row in rows)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Consecutive packed tokens that follow one another in their rows: those of a node, or of a completion."""

    start: int
    end: int
    prefix: tuple[
        slice, ...
    ]  # packed tokens that all of them attend to, in order; each also sees those before it


@dataclass(kw_only=True)
class PackedRows:
    """Rows as one sequence of T tokens, each shared prefix once, in depth-first order.

    Token i attends to token j if ``j <= i < ends[j]``: then j is before i in a row.
    """

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # of each token in its rows
    ends: list[int] = field(default_factory=list)  # after the last token that attends to this one
    labels: list[int] = field(default_factory=list)  # the next token of a completion, or -100
    stretches: list[Stretch] = field(default_factory=list)
    completions: dict[int, slice] = field(
        default_factory=dict
    )  # of each row: tokens that predict its completion

    def append(self, tokens: Sequence[int], position: int, prefix: tuple[slice, ...]) -> tuple[slice, ...]:
        """Append a stretch; return the prefix of what follows it."""
        start, end = len(self.tokens), len(self.tokens) + len(tokens)
        if start == end:
            return prefix
        self.tokens += tokens
        self.positions += range(position, position + len(tokens))
        self.ends += [end] * len(tokens)
        self.labels += [-100] * len(tokens)
        self.stretches.append(Stretch(start=start, end=end, prefix=prefix))
        if prefix and prefix[-1].stop == start:
            return *prefix[:-1], slice(prefix[-1].start, end)
        return *prefix, slice(start, end)


def pack_rows(rows: Sequence[Row], *, shortest: int = SHORTEST) -> PackedRows:
    """Return rows as one sequence: the tokens of each node, then the completions after it, then its children.

    There is at least one token, so that every batch is a call of the model.

    >>> rows = [Row(prompt=[1, 2, 3], completion=[4, 5]), Row(prompt=[1, 2, 3], completion=[6])]
    >>> packed = pack_rows(rows, shortest=1)
    >>> packed.tokens, packed.positions, packed.ends
    ([1, 2, 3, 4, 3], [0, 1, 2, 3, 2], [5, 5, 4, 4, 5])
    """
    packed = PackedRows()
    for tree in build_trees(rows, shortest=shortest):
        _pack(tree, rows, packed, ())
    if not packed.tokens:
        packed.append([rows[0].prompt[-1]], 0, ())
    return packed


def _pack(node: Node, rows: Sequence[Row], packed: PackedRows, prefix: tuple[slice, ...]) -> None:
    start = len(packed.tokens)
    below = packed.append(node.tokens, node.start, prefix)
    for index in node.rows:
        here = len(packed.tokens)
        packed.append(rows[index].suffix_tokens, node.end, below)
        packed.completions[index] = slice(here, len(packed.tokens))
        packed.labels[here:] = rows[index].completion
    for child in node.children:
        _pack(child, rows, packed, below)
    packed.ends[start : start + len(node.tokens)] = [len(packed.tokens)] * len(node.tokens)
