"""Attention of completions that are packed into one row behind the KV cache of their prompts.

Each token attends to the keys of its own prompt, and causally to its own completion. On a GPU FlexAttention (Dong et
al. 2024, arXiv:2412.05496) skips the blocks that no token attends to. On a CPU a dense mask over the packed row would
compute every completion against all others. So each completion becomes a row of a batch there if its keys fit into
memory; otherwise the mask over the packed row is used.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import pad
from transformers import AttentionInterface, PreTrainedModel

from srl_agent.prefix_sharing.cpu_attention import BLOCKED, attend, hidden_as_bias
from srl_agent.prefix_sharing.kv_cache import embedding_dtype

_FLEX = "packed_completions"
_ROWS = "packed_completions_as_rows"
_SDPA = ("sdpa", BLOCKED)
_SMALLEST_HEAD = 16  # FlexAttention's kernel supports no smaller head size

# FlexAttention's: (batch, head, query, key) indices -> whether the query attends to the key.
MaskFn = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Completions in one row of tokens, behind a KV cache that holds their prompts."""

    prompt_lengths: Sequence[int]  # how many cached tokens each completion sees, from the first one on
    completion_lengths: Sequence[int]  # tokens
    cached: int  # tokens in the cache

    @property
    def tokens(self) -> int:
        """Tokens of the packed row."""
        return sum(self.completion_lengths)


def packed_mask_fn(packing: Packing, device: torch.device | str) -> MaskFn:
    """Build the mask: a token attends to its own prompt's keys and causally to its own completion."""
    lengths = torch.tensor(packing.completion_lengths)
    first = packing.cached + lengths.cumsum(0) - lengths
    of_prompt = torch.tensor(packing.prompt_lengths).repeat_interleave(lengths).to(device)
    first_own = first.repeat_interleave(lengths).to(device)
    itself = packing.cached + torch.arange(packing.tokens, device=device)

    def mask_fn(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key < of_prompt[query]) | ((first_own[query] <= key) & (key <= itself[query]))

    return mask_fn


@contextmanager
def use_packed_attention(model: PreTrainedModel, packing: Packing) -> Iterator[dict[str, object]]:
    """Choose the attention for a call of the model with a packed row; yield the call's arguments."""
    before = model.config._attn_implementation
    arguments: dict[str, object] = {}
    if before in _SDPA and _has_flex_attention(model):
        model.config._attn_implementation = _FLEX
    elif before in _SDPA and model.device.type == "cpu" and _rows_fit(model, packing):
        model.config._attn_implementation = _ROWS
        arguments["packed_rows"] = _PackedRows(packing, embedding_dtype(model))
    if "packed_rows" not in arguments:
        arguments["attention_mask"] = _mask(model, packing)
    try:
        yield arguments
    finally:
        model.config._attn_implementation = before


def _has_flex_attention(model: PreTrainedModel) -> bool:
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return model.device.type == "cuda" and find_spec("triton") is not None and head >= _SMALLEST_HEAD


def _rows_fit(model: PreTrainedModel, packing: Packing) -> bool:
    """Return whether the keys of all rows take at most twice the memory of those of the packed row.

    Each row holds a copy of its prompt's keys; for the packed row transformers repeats the keys for every query head.
    Where the rows do not fit, prompts are so long that the mask over the packed row wastes little.
    """
    heads, key_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    lengths = packing.completion_lengths
    of_rows = len(lengths) * (packing.cached + max(lengths)) * key_heads
    return bool(of_rows <= 2 * (packing.cached + packing.tokens) * heads)


def _mask(model: PreTrainedModel, packing: Packing) -> Tensor | BlockMask:
    device, attention = model.device, model.config._attn_implementation
    mask_fn = packed_mask_fn(packing, device)
    queries, keys = packing.tokens, packing.cached + packing.tokens
    if attention == _FLEX:
        return create_block_mask(mask_fn, B=None, H=None, Q_LEN=queries, KV_LEN=keys, device=device)
    rows = torch.arange(queries, device=device)[:, None]
    every = torch.zeros(0, device=device)  # the mask is the same for every batch row and head
    allowed = mask_fn(every, every, rows, torch.arange(keys, device=device))[None, None]
    if attention in _SDPA:
        return allowed
    dtype = embedding_dtype(model)
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)


class _PackedRows:
    """A packed row as a batch of G rows, each a completion of at most T tokens behind its prompt's K cached keys."""

    def __init__(self, packing: Packing, dtype: torch.dtype) -> None:
        self._lengths, self._cached = list(packing.completion_lengths), packing.cached
        self._longest = max(self._lengths)
        distinct = set(packing.prompt_lengths)
        prompts = torch.tensor(list(distinct) if len(distinct) == 1 else packing.prompt_lengths)
        of_prompt_GK = torch.arange(self._cached) < prompts[:, None]
        own_TT = torch.ones(self._longest, self._longest, dtype=torch.bool).tril()
        shape = len(prompts), self._longest
        parts = of_prompt_GK[:, None].expand(*shape, self._cached), own_TT.expand(*shape, self._longest)
        self.bias = hidden_as_bias(torch.cat(parts, dim=-1)[:, None], dtype)

    def unpack(self, packed: Tensor) -> Tensor:
        """(1, heads, tokens, size) -> (G, heads, T, size), zeros behind shorter completions."""
        rows = packed[0].split(self._lengths, dim=1)
        return torch.stack([pad(row, (0, 0, 0, self._longest - row.shape[1])) for row in rows])

    def pack(self, rows: Tensor) -> Tensor:
        """(G, heads, T, size) -> (1, tokens, heads, size)."""
        pairs = zip(rows, self._lengths, strict=True)
        return torch.cat([row[:, :length].transpose(0, 1) for row, length in pairs])[None]

    def keys(self, packed: Tensor) -> Tensor:
        """Keys, or values: (1, heads, K + tokens, size) -> (G, heads, K + T, size)."""
        own = self.unpack(packed[:, :, self._cached :])
        return torch.cat([packed[:, :, : self._cached].expand(len(own), -1, -1, -1), own], dim=2)


def _attend_as_rows(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    packed_rows: _PackedRows,
    scaling: float,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """Inputs are (1, heads, tokens, size); keys and values may have fewer heads."""
    keys, values = packed_rows.keys(key), packed_rows.keys(value)
    output = attend(packed_rows.unpack(query), keys, values, packed_rows.bias, scaling)
    return packed_rows.pack(output), None


@cache
def _compiled() -> Callable[..., Tensor]:
    return torch.compile(flex_attention, dynamic=True)


def _attend_by_blocks(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask,
    *,
    scaling: float,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """Inputs are (1, heads, tokens, size); keys and values may have fewer heads."""
    attention: Callable[..., Tensor] = flex_attention
    if query.is_cuda:
        attention = _compiled()
    output = attention(
        query.to(value.dtype),  # under autocast rotated queries and keys are float32, which SDPA would cast
        key.to(value.dtype),
        value,
        block_mask=attention_mask,
        scale=scaling,
        enable_gqa=True,
        # Not its decoding kernel, which it chooses for few queries and which supports fewer shapes.
        kernel_options={"FORCE_USE_FLEX_ATTENTION": True},
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(_FLEX, _attend_by_blocks)
AttentionInterface.register(_ROWS, _attend_as_rows)
