"""Attention of completions that are packed into one row behind the keys of their prompts.

Each token sees the keys of its own prompt, and its own completion up to itself. On a GPU FlexAttention (Dong et al.
2024, arXiv:2412.05496) skips the blocks that no token sees. On a CPU a dense mask over the packed row would compute
every completion against all others, so each completion becomes a row of a batch there, where its keys fit; the mask
over the packed row is for the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import pad
from transformers import AttentionInterface

from srl_agent.prefix_sharing.cpu_attention import BLOCKED, attend, hidden_as_bias

_FLEX = "packed_completions"
_ROWS = "packed_completions_as_rows"
_SDPA = ("sdpa", BLOCKED)
_SMALLEST_HEAD = 16  # the kernel knows none smaller

MaskFn = Callable[
    [Any, Any, torch.Tensor, torch.Tensor], torch.Tensor
]  # (batch, head, query, key), as FlexAttention's


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Completions in one row of tokens, behind keys that are kept of their prompts."""

    prompts: Sequence[int]  # how many of the kept keys each completion sees, from the first on
    completions: Sequence[int]  # tokens of each
    kept: int  # keys

    @property
    def tokens(self) -> int:
        return sum(self.completions)


def packed_mask_fn(packing: Packing, device: Any) -> MaskFn:
    """Build the mask: a token attends to its own prompt's keys and causally to its own completion."""
    lengths = torch.tensor(packing.completions)
    first = packing.kept + lengths.cumsum(0) - lengths
    of_prompt = torch.tensor(packing.prompts).repeat_interleave(lengths).to(device)
    first_own = first.repeat_interleave(lengths).to(device)
    itself = packing.kept + torch.arange(packing.tokens, device=device)

    def mask_fn(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (key < of_prompt[query]) | ((first_own[query] <= key) & (key <= itself[query]))

    return mask_fn


@contextmanager
def use_packed_attention(model: Any, packing: Packing) -> Iterator[dict[str, Any]]:
    """Choose the attention for a call of the model with a packed row; yields the call's arguments."""
    before = model.config._attn_implementation
    arguments: dict[str, Any] = {}
    if before in _SDPA and _has_flex_attention(model):
        model.config._attn_implementation = _FLEX
    elif before in _SDPA and model.device.type == "cpu" and _rows_fit(model, packing):
        model.config._attn_implementation = _ROWS
        arguments["packed_rows"] = _PackedRows(packing, model.get_input_embeddings().weight.dtype)
    if "packed_rows" not in arguments:
        arguments["attention_mask"] = _mask(model, packing)
    try:
        yield arguments
    finally:
        model.config._attn_implementation = before


def _has_flex_attention(model: Any) -> bool:
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return model.device.type == "cuda" and find_spec("triton") is not None and head >= _SMALLEST_HEAD


def _rows_fit(model: Any, packing: Packing) -> bool:
    """Whether the keys of all rows take at most twice the memory of those of the packed row.

    Rows hold a copy of their prompt's keys each; for the packed row transformers repeats the keys for every query head.
    Where they do not fit, the prompts are so long that the mask over the packed row wastes little.
    """
    heads, key_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    of_rows = len(packing.completions) * (packing.kept + max(packing.completions)) * key_heads
    return bool(of_rows <= 2 * (packing.kept + packing.tokens) * heads)


def _mask(model: Any, packing: Packing) -> Any:
    device, attention = model.device, model.config._attn_implementation
    mask_fn, queries, keys = packed_mask_fn(packing, device), packing.tokens, packing.kept + packing.tokens
    if attention == _FLEX:
        return create_block_mask(mask_fn, B=None, H=None, Q_LEN=queries, KV_LEN=keys, device=device)
    rows = torch.arange(queries, device=device)[:, None]
    allowed = mask_fn(None, None, rows, torch.arange(keys, device=device))[None, None]
    if attention in _SDPA:
        return allowed
    dtype = model.get_input_embeddings().weight.dtype
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)


class _PackedRows:
    """A packed row as a batch of G rows, each a completion of at most T tokens behind its prompt's keys."""

    def __init__(self, packing: Packing, dtype: torch.dtype) -> None:
        self._sizes, self._kept = list(packing.completions), packing.kept
        self._longest = max(self._sizes)
        prompts = torch.tensor(
            sorted(set(packing.prompts)) if len(set(packing.prompts)) == 1 else packing.prompts
        )
        of_prompt_GK = torch.arange(self._kept) < prompts[:, None]
        own_TT = torch.ones(self._longest, self._longest, dtype=torch.bool).tril()
        shape = (len(prompts), self._longest, -1)
        allowed_GTK = torch.cat(
            [of_prompt_GK[:, None].expand(*shape[:2], self._kept), own_TT.expand(*shape[:2], self._longest)],
            dim=-1,
        )
        self.bias = hidden_as_bias(allowed_GTK[:, None], dtype)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """(1, heads, tokens, size) -> (G, heads, T, size), zeros behind shorter completions."""
        rows = packed[0].split(self._sizes, dim=1)
        return torch.stack([pad(row, (0, 0, 0, self._longest - row.shape[1])) for row in rows])

    def pack(self, rows: torch.Tensor) -> torch.Tensor:
        """(G, heads, T, size) -> (1, tokens, heads, size)."""
        return torch.cat(
            [row[:, :size].transpose(0, 1) for row, size in zip(rows, self._sizes, strict=True)]
        )[None]

    def keys(self, packed: torch.Tensor) -> torch.Tensor:
        """Keys, or values, (1, heads, kept + tokens, size) -> (G, heads, kept + T, size)."""
        own = self.unpack(packed[:, :, self._kept :])
        return torch.cat([packed[:, :, : self._kept].expand(len(own), -1, -1, -1), own], dim=2)


def _attend_as_rows(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    *,
    packed_rows: _PackedRows,
    scaling: float,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes are (1, heads, tokens, size); keys and values may have fewer heads."""
    output = attend(
        packed_rows.unpack(query), packed_rows.keys(key), packed_rows.keys(value), packed_rows.bias, scaling
    )
    return packed_rows.pack(output), None


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def _attend_by_blocks(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    *,
    scaling: float,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes are (1, heads, tokens, size); keys and values may have fewer heads."""
    attention = _compiled() if query.is_cuda else flex_attention
    output = attention(
        query.to(value.dtype),  # under autocast rotated queries and keys are float32, which SDPA would cast
        key.to(value.dtype),
        value,
        block_mask=attention_mask,
        scale=scaling,
        enable_gqa=True,
        # Not its kernel for decoding, which it chooses for few queries and which knows fewer shapes.
        kernel_options={"FORCE_USE_FLEX_ATTENTION": True},
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(_FLEX, _attend_by_blocks)
AttentionInterface.register(_ROWS, _attend_as_rows)
