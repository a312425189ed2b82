"""The KV cache of sampling: each prompt's keys once for all its completions, and prompts of like length together.

One attention call for each layer serves all prompts of a group. A prompt's completions stack their queries over its
keys; a mask keeps their own keys apart.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from srl_agent.prefix_sharing.cpu_attention import hidden_as_bias
from srl_agent.prefix_sharing.kv_cache import Keys

_NAME = "shared_prompts"
_BLOCK = 64  # tokens of each row by which the room for new keys grows
_WASTE = 1.5  # keys of a group with padding over those without: more is another group


def group_prompts(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Indices of prompts, given their (tokens, rows), in groups of like size.

    >>> group_prompts([(400, 8), (100, 8), (380, 8)])
    [[1], [2, 0]]
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        joined = [sizes[i] for i in (*(groups[-1] if groups else ()), index)]
        padded = len(joined) * max(tokens for tokens, _ in joined) * max(rows for _, rows in joined)
        if groups and padded <= _WASTE * sum(tokens * rows for tokens, rows in joined):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


class PromptGroup:
    """P prompts, each with up to R rows that go on, in a grid of (P, R) places."""

    def __init__(self, prompts: Sequence[tuple[Keys, int]], device: Any) -> None:
        """``prompts``: the keys of each and its rows; the rows of the group stand in this order."""
        self._prompts: list[list[Any]] = [list(keys) for keys, _ in prompts]  # by layer, until there is room
        self._room: dict[int, list[torch.Tensor]] = {}  # by layer: keys and values, (P, heads, room, size)
        lengths = [keys[0][0].shape[2] if keys else 0 for keys in self._prompts]
        self._end = max(lengths)  # of the keys so far
        rows = [count for _, count in prompts]
        self._shape = (len(prompts), max(rows))
        self._places = torch.tensor(
            [prompt * max(rows) + row for prompt, count in enumerate(rows) for row in range(count)],
            device=device,
        )
        seen_PK = torch.arange(self._end, device=device) < torch.tensor(lengths, device=device)[:, None]
        self._seen_PRK = seen_PK[:, None].repeat(1, max(rows), 1)
        self.bias = torch.zeros(
            0
        )  # of the token that is being decoded: (P, 1, R × query heads of a key head, keys)

    @property
    def rows(self) -> int:
        return len(self._places)

    def begin_token(self, repeats: int, dtype: torch.dtype) -> None:
        """Add a token to each row: it sees its prompt and the tokens of its own row."""
        prompts, rows = self._shape
        own = torch.eye(rows, dtype=torch.bool, device=self._seen_PRK.device)
        self._seen_PRK = torch.cat([self._seen_PRK, own.expand(prompts, rows, rows)], dim=2)
        self._end += rows
        self.bias = hidden_as_bias(self._seen_PRK.repeat_interleave(repeats, dim=1)[:, None], dtype)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Attention of one new token a row, (rows, heads, 1, size); returns (rows, 1, heads, size)."""
        (prompts, rows), (heads, size), kept = self._shape, query.shape[1::2], key.shape[1]
        keys, values = self._add(layer, self._on_grid(key), self._on_grid(value))
        stacked = self._on_grid(query).view(prompts, rows, kept, -1, size).transpose(1, 2)
        found = scaled_dot_product_attention(
            stacked.reshape(prompts, kept, -1, size), keys, values, attn_mask=self.bias, scale=scaling
        )
        grid = (
            found.view(prompts, kept, rows, -1, size).transpose(1, 2).reshape(prompts * rows, 1, heads, size)
        )
        return grid if self._is_full else grid[self._places]

    @property
    def _is_full(self) -> bool:
        return self.rows == self._shape[0] * self._shape[1]

    def _on_grid(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, …) -> (P × R, …), zeros where no row is."""
        if self._is_full:
            return x
        return x.new_zeros(self._shape[0] * self._shape[1], *x.shape[1:]).index_copy_(0, self._places, x)

    def _add(self, layer: int, *new: torch.Tensor) -> list[torch.Tensor]:
        """Keys and values of the token, (P × R, heads, 1, size) each; returns all so far, (P, heads, keys, size)."""
        prompts, rows = self._shape
        heads, size = new[0].shape[1], new[0].shape[3]
        room = self._room.get(layer)
        if room is None or room[0].shape[2] < self._end:
            more = new[0].new_empty(prompts, heads, rows * _BLOCK, size)
            before = room or self._of_prompts(layer, like=more)
            room = self._room[layer] = [torch.cat([part, more], dim=2) for part in before]
        for place, part in zip(room, new, strict=True):
            place[:, :, self._end - rows : self._end] = part.view(prompts, rows, heads, size).transpose(1, 2)
        return [place[:, :, : self._end] for place in room]

    def _of_prompts(self, layer: int, *, like: torch.Tensor) -> list[torch.Tensor]:
        """Keys and values of all prompts, padded with zeros: what is masked is multiplied all the same.

        The group lets go of the prompts' own.
        """
        longest = self._end - self._shape[1]
        padded = [like.new_zeros(*like.shape[:2], longest, like.shape[3]) for _ in ("keys", "values")]
        for index, keys in enumerate(self._prompts):
            if keys:
                for whole, part in zip(padded, keys[layer], strict=True):
                    whole[index, :, : part.shape[2]] = part[0]
                keys[layer] = None
        return padded

    def keep(self, rows: torch.Tensor) -> None:
        """Let only these rows (indices, in order, at least one) go on. The keys of the others stay, unseen."""
        places = self._places[rows]
        old = places.div(self._shape[1], rounding_mode="floor"), places % self._shape[1]
        prompts, counts = old[0].unique_consecutive(return_counts=True)
        if 2 * len(prompts) > self._shape[0]:  # copying all keys pays only where many prompts have ended
            prompts, counts = torch.arange(self._shape[0]), old[0].bincount(minlength=self._shape[0])
        else:
            self._room = {layer: [x[prompts] for x in room] for layer, room in self._room.items()}
            self._prompts = [self._prompts[index] for index in prompts.tolist()]
        most = int(counts.max())
        self._places = torch.cat([i * most + torch.arange(count) for i, count in enumerate(counts.tolist())])
        seen = self._seen_PRK[old]
        self._shape = (len(prompts), most)
        self._seen_PRK = seen.new_zeros(len(prompts) * most, seen.shape[1]).index_copy_(0, self._places, seen)
        self._seen_PRK = self._seen_PRK.view(*self._shape, -1)


class SharedPrompts:
    """The groups of a batch, whose rows stand side by side. To transformers it is a cache."""

    is_compileable = False

    def __init__(self, groups: Sequence[PromptGroup]) -> None:
        self.groups = list(groups)

    def begin_token(self, repeats: int, dtype: torch.dtype) -> None:
        """Add a token to each row. ``repeats``: query heads of a key head."""
        for group in self.groups:
            group.begin_token(repeats, dtype)

    def update(self, keys: Any, values: Any, layer: int, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        return keys, values  # they are kept where they are attended to

    def keep(self, rows: torch.Tensor) -> None:
        """Let only these rows (indices, in order) go on."""
        start, groups = 0, []
        for group in self.groups:
            end = start + group.rows
            mine = rows[(rows >= start) & (rows < end)] - start
            if 0 < len(mine) < group.rows:
                group.keep(mine)
            if len(mine):
                groups.append(group)
            start = end
        self.groups = groups


@contextmanager
def use_shared_prompts(model: Any) -> Iterator[None]:
    """Choose this attention for calls with ``shared_prompts=``."""
    before = model.config._attn_implementation
    model.config._attn_implementation = _NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    *,
    shared_prompts: SharedPrompts,
    scaling: float,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    outputs = []
    start = 0
    for group in shared_prompts.groups:
        mine = slice(start, start + group.rows)
        start = mine.stop
        outputs.append(group.attend(module.layer_idx, query[mine], key[mine], value[mine], scaling))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs), None


AttentionInterface.register(_NAME, _attend)
