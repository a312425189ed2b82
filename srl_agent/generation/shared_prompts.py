"""The KV cache of sampling: each prompt once for all its completions, and prompts of similar length in groups.

One attention call per layer serves all prompts of a group. A prompt's completions stack their queries over its keys;
a mask keeps their own keys apart.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from srl_agent.prefix_sharing.cpu_attention import hidden_as_bias
from srl_agent.prefix_sharing.kv_cache import KVCache

_NAME = "shared_prompts"
_BLOCK = 64  # tokens per row by which the capacity for new keys grows
_WASTE = 1.5  # most keys of a group with padding, over those without; beyond, another group starts


def group_prompts(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Group prompts of similar size: return their indices, given (tokens, rows) of each.

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
    """P prompts, each with up to R unfinished rows, in a (P, R) grid."""

    def __init__(self, prompts: Sequence[tuple[KVCache, int]], device: torch.device) -> None:
        """``prompts``: KV cache and number of rows of each; the group's rows are in this order."""
        # By layer, until the buffers are allocated.
        self._prompts: list[list[tuple[Tensor, Tensor] | None]] = [list(kv) for kv, _ in prompts]
        # By layer: keys and values, (P, heads, capacity, size).
        self._buffers: dict[int, list[Tensor]] = {}
        lengths = [kv[0][0].shape[2] if kv else 0 for kv, _ in prompts]
        self._end = max(lengths)  # keys so far
        rows = [count for _, count in prompts]
        self._shape = (len(prompts), max(rows))
        # Indices of the rows in the flattened grid.
        indices = [prompt * max(rows) + row for prompt, count in enumerate(rows) for row in range(count)]
        self._indices = torch.tensor(indices, device=device)
        self._next_P = torch.tensor(
            lengths, device=device
        )  # position of the next token of each prompt's rows
        self._positions_PK = torch.arange(self._end, device=device).repeat(len(prompts), 1)
        self._seen_PRK = (self._positions_PK < self._next_P[:, None])[:, None].repeat(1, max(rows), 1)
        self._repeats, self._dtype = 1, torch.float32
        # For the current token, by window: (P, 1, R × query heads per key head, keys).
        self._biases: dict[int | None, Tensor] = {}

    @property
    def rows(self) -> int:
        return len(self._indices)

    def begin_token(self, repeats: int, dtype: torch.dtype) -> None:
        """Add a token to each row: it attends to its prompt and to its own row."""
        prompts, rows = self._shape
        own = torch.eye(rows, dtype=torch.bool, device=self._seen_PRK.device)
        self._seen_PRK = torch.cat([self._seen_PRK, own.expand(prompts, rows, rows)], dim=2)
        self._positions_PK = torch.cat([self._positions_PK, self._next_P[:, None].expand(-1, rows)], dim=1)
        self._next_P = self._next_P + 1
        self._end += rows
        self._repeats, self._dtype, self._biases = repeats, dtype, {}

    def bias(self, window: int | None) -> Tensor:
        """Return what is added to the scores of a layer whose tokens see ``window`` tokens, themselves included."""
        if window not in self._biases:
            seen = self._seen_PRK
            if window is not None:
                seen = seen & (self._next_P[:, None] - 1 - self._positions_PK < window)[:, None]
            stacked = seen.repeat_interleave(self._repeats, dim=1)[:, None]
            self._biases[window] = hidden_as_bias(stacked, self._dtype)
        return self._biases[window]

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int | None
    ) -> Tensor:
        """Attend with one new token per row, (rows, heads, 1, size); return (rows, 1, heads, size)."""
        (prompts, rows), (heads, size), key_heads = self._shape, query.shape[1::2], key.shape[1]
        keys, values = self._add(layer, self._on_grid(key), self._on_grid(value))
        stacked = self._on_grid(query).view(prompts, rows, key_heads, -1, size).transpose(1, 2)
        found = scaled_dot_product_attention(
            stacked.reshape(prompts, key_heads, -1, size),
            keys,
            values,
            attn_mask=self.bias(window),
            scale=scaling,
        )
        by_row = found.view(prompts, key_heads, rows, -1, size).transpose(1, 2)
        grid = by_row.reshape(prompts * rows, 1, heads, size)
        return grid if self._is_full else grid[self._indices]

    @property
    def _is_full(self) -> bool:
        return self.rows == self._shape[0] * self._shape[1]

    def _on_grid(self, x: Tensor) -> Tensor:
        """(rows, …) -> (P × R, …), zeros where there is no row."""
        if self._is_full:
            return x
        return x.new_zeros(self._shape[0] * self._shape[1], *x.shape[1:]).index_copy_(0, self._indices, x)

    def _add(self, layer: int, *new: Tensor) -> list[Tensor]:
        """Add the token's keys and values, (P × R, heads, 1, size); return all so far, (P, heads, keys, size)."""
        prompts, rows = self._shape
        heads, size = new[0].shape[1], new[0].shape[3]
        buffers = self._buffers.get(layer)
        if buffers is None or buffers[0].shape[2] < self._end:
            more = new[0].new_empty(prompts, heads, rows * _BLOCK, size)
            before = buffers or self._take_prompts(layer, like=more)
            buffers = self._buffers[layer] = [torch.cat([part, more], dim=2) for part in before]
        for buffer, part in zip(buffers, new, strict=True):
            buffer[:, :, self._end - rows : self._end] = part.view(prompts, rows, heads, size).transpose(1, 2)
        return [buffer[:, :, : self._end] for buffer in buffers]

    def _take_prompts(self, layer: int, *, like: Tensor) -> list[Tensor]:
        """Return keys and values of all prompts, padded with zeros (masked ones are multiplied too); release theirs."""
        longest = self._end - self._shape[1]
        padded = [like.new_zeros(*like.shape[:2], longest, like.shape[3]) for _ in ("keys", "values")]
        for index, kv_cache in enumerate(self._prompts):
            if kv_cache and (own := kv_cache[layer]) is not None:
                for whole, part in zip(padded, own, strict=True):
                    whole[index, :, : part.shape[2]] = part[0]
                kv_cache[layer] = None
        return padded

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (indices, in order, at least one). The keys of the others remain, masked."""
        indices = self._indices[rows]
        old = indices.div(self._shape[1], rounding_mode="floor"), indices % self._shape[1]
        prompts, counts = old[0].unique_consecutive(return_counts=True)
        if 2 * len(prompts) > self._shape[0]:  # copying all keys pays only where many prompts have ended
            prompts, counts = torch.arange(self._shape[0]), old[0].bincount(minlength=self._shape[0])
        else:
            self._buffers = {layer: [x[prompts] for x in both] for layer, both in self._buffers.items()}
            self._prompts = [self._prompts[index] for index in prompts.tolist()]
            self._next_P, self._positions_PK = self._next_P[prompts], self._positions_PK[prompts]
        most = int(counts.max())
        self._indices = torch.cat([i * most + torch.arange(count) for i, count in enumerate(counts.tolist())])
        seen = self._seen_PRK[old]
        self._shape = (len(prompts), most)
        whole = seen.new_zeros(len(prompts) * most, seen.shape[1]).index_copy_(0, self._indices, seen)
        self._seen_PRK = whole.view(*self._shape, -1)


class SharedPrompts:
    """The groups of a batch, rows concatenated. transformers uses it as a cache."""

    is_compileable = False

    def __init__(self, groups: Sequence[PromptGroup]) -> None:
        self.groups = list(groups)

    def begin_token(self, repeats: int, dtype: torch.dtype) -> None:
        """Add a token to each row. ``repeats``: query heads per key head."""
        for group in self.groups:
            group.begin_token(repeats, dtype)

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        return keys, values  # stored by PromptGroup.attend

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (indices, in order)."""
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
def use_shared_prompts(model: PreTrainedModel) -> Iterator[None]:
    """Use this attention for calls with ``shared_prompts=``."""
    before = model.config._attn_implementation
    model.config._attn_implementation = _NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


class _AttentionLayer(Protocol):
    layer_idx: int


def _attend(
    module: _AttentionLayer,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    shared_prompts: SharedPrompts,
    scaling: float,
    sliding_window: int | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    outputs = []
    start = 0
    for group in shared_prompts.groups:
        mine = slice(start, start + group.rows)
        start = mine.stop
        parts = query[mine], key[mine], value[mine]
        outputs.append(group.attend(module.layer_idx, *parts, scaling, sliding_window))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs), None


AttentionInterface.register(_NAME, _attend)
