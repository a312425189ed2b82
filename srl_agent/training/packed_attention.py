"""Attention of completions that are packed into one row behind the keys of their prompts.

Each token sees the keys of its own prompt, and its own completion up to itself. On a CPU that is a mask in memory; on
a GPU FlexAttention (Dong et al. 2024, arXiv:2412.05496) skips the blocks that nobody sees.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from transformers import AttentionInterface

_NAME = "packed_completions"
_SMALLEST_HEAD = 16  # the kernel knows none smaller

Sees = Callable[
    [Any, Any, torch.Tensor, torch.Tensor], torch.Tensor
]  # (batch, head, query, key), as FlexAttention's


def who_sees_what(prompts: Sequence[int], completions: Sequence[int], kept: int, device: Any) -> Sees:
    """Of completions of so many tokens each, behind ``kept`` keys, the first of which are their prompts' so many."""
    lengths = torch.tensor(completions)
    first = kept + lengths.cumsum(0) - lengths
    of_prompt = torch.tensor(prompts).repeat_interleave(lengths).to(device)
    first_own = first.repeat_interleave(lengths).to(device)
    itself = kept + torch.arange(int(lengths.sum()), device=device)

    def sees(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (key < of_prompt[query]) | ((first_own[query] <= key) & (key <= itself[query]))

    return sees


@contextmanager
def attending(model: Any, sees: Sees, queries: int, keys: int) -> Iterator[Any]:
    """The mask for a call of the model with so many new tokens, whose attention is chosen for it meanwhile."""
    before = model.config._attn_implementation
    if before == "sdpa" and _has_flex_attention(model):
        model.config._attn_implementation = _NAME
    try:
        yield _mask(model, sees, queries, keys)
    finally:
        model.config._attn_implementation = before


def _has_flex_attention(model: Any) -> bool:
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return model.device.type == "cuda" and find_spec("triton") is not None and head >= _SMALLEST_HEAD


def _mask(model: Any, sees: Sees, queries: int, keys: int) -> Any:
    device, attention = model.device, model.config._attn_implementation
    if attention == _NAME:
        return create_block_mask(sees, B=None, H=None, Q_LEN=queries, KV_LEN=keys, device=device)
    places = torch.arange(queries, device=device)[:, None]
    allowed = sees(None, None, places, torch.arange(keys, device=device))[None, None]
    if attention == "sdpa":
        return allowed
    dtype = model.get_input_embeddings().weight.dtype
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def _attend(
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


AttentionInterface.register(_NAME, _attend)
