"""Attention of rows that are packed into one sequence in which each shared prefix is once.

Each token attends to the tokens before it in its rows. On a GPU FlexAttention (Dong et al. 2024, arXiv:2412.05496)
skips the blocks that no token attends to. On a CPU, queries are taken in blocks; each is multiplied with the keys of
its own prefix only, so the cost is that of causal attention. Elsewhere a dense mask says who attends to whom.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from srl_agent.prefix_sharing.cpu_attention import (
    BLOCK_TOKENS,
    BLOCKED,
    OVER_TREES,
    Block,
    attend_by_blocks,
    blocked_attention,
    hidden_as_bias,
)
from srl_agent.prefix_sharing.kv_cache import embedding_dtype, layer_types
from srl_agent.prefix_sharing.prefix_tree import PackedRows

_SMALLEST_HEAD = 16  # FlexAttention's kernel supports no smaller head size

# FlexAttention's: (batch, head, query, key) indices -> whether the query attends to the key.
MaskFn = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Attention = Callable[..., tuple[Tensor, Tensor | None]]


def allow_packed_rows(model: PreTrainedModel) -> None:
    """Let a model compute packed rows with the arguments of :func:`packed_attention`; other calls do not change.

    Layers that are recomputed in the backward pass look their attention up again, so it is not set for a call only.
    """
    before = model.config._attn_implementation
    model.config._attn_implementation = OVER_TREES.get(before, before)


def packed_attention(model: PreTrainedModel, packed: PackedRows) -> dict[str, object]:
    """Return the arguments for a call of the model with packed rows.

    Layers with a sliding window have a mask of their own, unless no row is longer than the window.
    """
    types = set(layer_types(model.config))
    window = model.config.sliding_window if "sliding_attention" in types else None
    if window is None or max(packed.positions) < window:
        return _attention(model, packed)
    masks = {
        name: _mask(model, packed, window if name == "sliding_attention" else None) for name in sorted(types)
    }
    return {"attention_mask": masks if len(masks) > 1 else masks["sliding_attention"]}


def _attention(model: PreTrainedModel, packed: PackedRows) -> dict[str, object]:
    is_over_trees = model.config._attn_implementation in OVER_TREES.values()
    if is_over_trees and model.device.type == "cpu":
        blocks = list(_blocks(packed, embedding_dtype(model)))
        # Where the mask has four dimensions, transformers makes none of its own.
        return {"attention_mask": torch.zeros(1, 1, 1, 1), "blocks": blocks}
    return {"attention_mask": _mask(model, packed, None)}


def _mask(model: PreTrainedModel, packed: PackedRows, window: int | None) -> Tensor | BlockMask:
    """Return the mask for a call with packed rows, in the form that the model's attention takes."""
    if model.config._attn_implementation not in OVER_TREES.values():
        return hidden_as_bias(_dense_mask(packed, model.device, window=window), embedding_dtype(model))
    if _has_flex_attention(model):
        return _block_mask(packed, model.device, window)
    return _dense_mask(packed, model.device, window=window)


def packed_mask_fn(packed: PackedRows, device: torch.device | str, window: int | None = None) -> MaskFn:
    """Build the mask of packed rows for FlexAttention. ``window``: how many tokens a token sees, itself included."""
    ends = torch.tensor(packed.ends, device=device)
    positions = torch.tensor(packed.positions, device=device)

    def mask_fn(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = (key <= query) & (query < ends[key])
        return seen if window is None else seen & (positions[query] - positions[key] < window)

    return mask_fn


def _has_flex_attention(model: PreTrainedModel) -> bool:
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return model.device.type == "cuda" and find_spec("triton") is not None and head >= _SMALLEST_HEAD


def _block_mask(packed: PackedRows, device: torch.device, window: int | None) -> BlockMask:
    mask_fn, count = packed_mask_fn(packed, device, window), len(packed.tokens)
    return create_block_mask(mask_fn, B=None, H=None, Q_LEN=count, KV_LEN=count, device=device)


def _dense_mask(
    packed: PackedRows,
    device: torch.device | str,
    start: int = 0,
    end: int | None = None,
    *,
    window: int | None = None,
) -> Tensor:
    """Return which of the tokens ``start`` to ``end`` attend to which of them, (1, 1, tokens, tokens)."""
    ends = torch.tensor(packed.ends[start:end], device=device) - start
    index = torch.arange(len(ends), device=device)
    seen = (index <= index[:, None]) & (index[:, None] < ends)
    if window is not None:
        positions = torch.tensor(packed.positions[start:end], device=device)
        seen = seen & (positions[:, None] - positions < window)
    return seen[None, None]


def _blocks(packed: PackedRows, dtype: torch.dtype) -> Iterator[Block]:
    """Yield blocks of queries, each with the prefix of its tokens and the tokens of the block themselves.

    Completions after the same prefix are in one block while they fit.
    """
    stretches = packed.stretches
    first = 0
    while first < len(stretches):
        prefix, start, last = stretches[first].prefix, stretches[first].start, first
        while last + 1 < len(stretches) and stretches[last + 1].prefix == prefix:
            if stretches[last + 1].end - start > BLOCK_TOKENS:
                break
            last += 1
        end = stretches[last].end
        for here in range(start, end, BLOCK_TOKENS):
            rows = slice(here, min(here + BLOCK_TOKENS, end))
            before = (slice(start, here),) if here > start else ()
            own = hidden_as_bias(_dense_mask(packed, "cpu", rows.start, rows.stop), dtype)
            yield Block(rows=rows, keys=(*prefix, *before, rows), bias=own)
        first = last + 1


@cache
def _compiled() -> Callable[..., Tensor]:
    return torch.compile(flex_attention, dynamic=True)


def _by_flex_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scaling: float | None
) -> Tensor:
    attention: Callable[..., Tensor] = flex_attention
    if query.is_cuda:
        attention = _compiled()
    return attention(
        query,
        key,
        value,
        block_mask=mask,
        scale=scaling,
        enable_gqa=True,
        # Not its decoding kernel, which it chooses for few queries and which supports fewer shapes.
        kernel_options={"FORCE_USE_FLEX_ATTENTION": True},
    )


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    *,
    plain: Attention,
    scaling: float,
    blocks: list[Block] | None = None,
    **kwargs: object,
) -> tuple[Tensor, Tensor | None]:
    """Attention function as transformers calls it. Inputs are (1, heads, tokens, size); keys may have fewer heads."""
    if blocks is None and not isinstance(attention_mask, BlockMask):
        return plain(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    # Under autocast rotated queries and keys are float32, which SDPA would cast.
    query, key = query.to(value.dtype), key.to(value.dtype)
    if isinstance(attention_mask, BlockMask):
        output = _by_flex_attention(query, key, value, attention_mask, scaling)
    else:
        assert blocks is not None
        output = attend_by_blocks(query, key, value, blocks, scaling)
    return output.transpose(1, 2).contiguous(), None


for _before, _plain in (("sdpa", sdpa_attention_forward), (BLOCKED, blocked_attention)):
    AttentionInterface.register(OVER_TREES[_before], partial(_attend, plain=_plain))
    AttentionMaskInterface.register(OVER_TREES[_before], sdpa_mask)
