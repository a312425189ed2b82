"""Attention in bfloat16 on a CPU, by plain matrix products over blocks of queries.

torch 2.13's flash attention for a CPU takes more than twice as long as the products it is made of, forward and
backward, for sequences of a few hundred tokens. As there, no scores are stored for the backward pass, and keys that no
query of a block attends to are skipped.

Letters in shapes: B batch, H query heads, R query heads per key head, T queries, K keys, D head size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

BLOCKED = "blocked_cpu"  # a value of ``attn_implementation``
# What such values become where rows are packed (tree_attention.py).
OVER_TREES = {"sdpa": "sdpa_over_trees", BLOCKED: "blocked_cpu_over_trees"}
BLOCK_TOKENS = 128  # queries


def use_blocked_attention(model: PreTrainedModel) -> None:
    """Let a model with ``sdpa`` attention compute bfloat16 on a CPU in blocks; all else stays with ``sdpa``."""
    if model.config._attn_implementation == "sdpa":
        model.config._attn_implementation = BLOCKED


@dataclass(frozen=True, kw_only=True)
class Block:
    """Consecutive queries, and the keys that they attend to."""

    rows: slice
    keys: Sequence[slice]
    bias: (
        Tensor  # (B or 1, 1, queries, k), added to the scores of the last k keys; it hides by finite numbers
    )


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scaling: float) -> Tensor:
    """Return attention (B, H, T, D) of T queries (B, H, T, D), the last of K ≥ T positions, to keys (B, H / R, K, D).

    ``value`` has the shape of ``key``. ``bias`` (B or 1, 1, T, K) is added to the scores; it must hide every key that
    comes after its query.
    """
    if query.device.type == "cpu" and query.dtype == key.dtype == value.dtype == torch.bfloat16:
        return attend_by_blocks(query, key, value, _causal_blocks(bias), scaling)
    return scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling, enable_gqa=True)


def attend_by_blocks(
    query: Tensor, key: Tensor, value: Tensor, blocks: Sequence[Block], scaling: float
) -> Tensor:
    """Return attention (B, H, T, D) of queries (B, H, T, D), each in one block, to keys (B, H / R, K, D)."""
    output: Tensor = _BlockedAttention.apply(query, key, value, blocks, scaling)  # type: ignore[no-untyped-call]
    return output


def hidden_as_bias(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask's bias, in its shape. It is finite: rows of padding, which see nothing, must not become NaN."""
    return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)


def _causal_blocks(bias: Tensor) -> list[Block]:
    """Return blocks of queries with the keys up to the last query of each."""
    tokens, keys = bias.shape[2:]
    blocks = []
    for start in range(0, tokens, BLOCK_TOKENS):
        end = min(start + BLOCK_TOKENS, tokens)
        seen = keys - tokens + end
        blocks.append(Block(rows=slice(start, end), keys=[slice(0, seen)], bias=bias[:, :, start:end, :seen]))
    return blocks


class _Context(FunctionCtx):
    blocks: Sequence[Block]
    scaling: float
    saved_tensors: tuple[Tensor, ...]


class _BlockedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, q: Tensor, k: Tensor, v: Tensor, blocks: Sequence[Block], scaling: float
    ) -> Tensor:
        q = q * scaling
        output = torch.empty_like(q, memory_format=torch.contiguous_format)
        for block in blocks:
            heads = _Heads(q, k, block)
            keys, values = heads.keys(k), heads.keys(v)
            weights = heads.weights(heads.queries(q), keys)
            output[:, :, block.rows] = heads.as_queries(torch.bmm(weights, values))
        ctx.save_for_backward(q, k, v, output)
        ctx.blocks, ctx.scaling = blocks, scaling
        return output

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """For P = softmax(S), O = P V: dV = Pᵀ dO, dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O)), dQ = dS K, dK = dSᵀ Q."""
        q, k, v, output = ctx.saved_tensors
        of_q = torch.empty_like(q)
        # Several blocks add to the gradient of the same keys: accumulate in float32, as one product does internally.
        exact = len(ctx.blocks) > 1
        of_k, of_v = (torch.zeros(x.shape, dtype=torch.float32 if exact else x.dtype) for x in (k, v))
        inner = (gradient * output).sum(dim=-1, keepdim=True, dtype=torch.float32).to(q.dtype)
        for block in ctx.blocks:
            heads = _Heads(q, k, block)
            queries, keys, of_output = heads.queries(q), heads.keys(k), heads.queries(gradient)
            weights = heads.weights(queries, keys)
            heads.add(of_v, torch.bmm(weights.transpose(1, 2), of_output))
            of_scores = torch.bmm(of_output, heads.keys(v).transpose(1, 2))
            of_scores.sub_(heads.queries(inner)).mul_(weights)
            of_q[:, :, block.rows] = heads.as_queries(torch.bmm(of_scores, keys))
            heads.add(of_k, torch.bmm(of_scores.transpose(1, 2), queries))
        return of_q.mul_(ctx.scaling), of_k.to(k.dtype), of_v.to(v.dtype), None, None


class _Heads:
    """The t queries and S keys of a block; query heads that share keys are stacked, (B H / R, R t, D)."""

    def __init__(self, q: Tensor, k: Tensor, block: Block) -> None:
        self._block = block
        self._batch, self._heads = q.shape[0], k.shape[1]
        self._repeats = q.shape[1] // self._heads

    def queries(self, x: Tensor) -> Tensor:
        """(B, H, T, D) -> (B H / R, R t, D)."""
        part = x[:, :, self._block.rows]
        return part.reshape(self._batch * self._heads, -1, part.shape[3])

    def as_queries(self, x: Tensor) -> Tensor:
        """(B H / R, R t, D) -> (B, H, t, D)."""
        return x.view(self._batch, self._heads * self._repeats, -1, x.shape[2])

    def keys(self, x: Tensor) -> Tensor:
        """(B, H / R, K, D) -> (B H / R, S, D)."""
        parts = [x[:, :, part] for part in self._block.keys]
        chosen = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        return chosen.reshape(self._batch * self._heads, -1, x.shape[3])

    def add(self, total: Tensor, x: Tensor) -> None:
        """Add (B H / R, S, D) to the block's keys of ``total``, (B, H / R, K, D)."""
        by_head = x.view(self._batch, self._heads, -1, x.shape[2])
        sizes = [part.stop - part.start for part in self._block.keys]
        for part, values in zip(self._block.keys, by_head.split(sizes, dim=2), strict=True):
            total[:, :, part] += values

    def weights(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the softmax of the scores, (B H / R, R t, S)."""
        scores = torch.bmm(queries, keys.transpose(1, 2))
        by_head = scores.view(self._batch, self._heads, self._repeats, -1, keys.shape[1])
        by_head[..., -self._block.bias.shape[3] :] += self._block.bias[:, :, None]
        return scores.softmax(dim=-1)


def blocked_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention function as transformers calls it; ``attention_mask`` None means causal."""
    tokens, keys = query.shape[2], key.shape[2]
    fits = query.device.type == "cpu" and query.dtype == torch.bfloat16 and tokens > 1
    is_mask = attention_mask is None or attention_mask.dtype == torch.bool
    if not fits or scaling is None or dropout or not is_mask:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    bias = _causal_bias(tokens, keys) if attention_mask is None else _bias_of(attention_mask)
    return attend(query, key, value, bias, scaling).transpose(1, 2).contiguous(), None


@lru_cache(maxsize=4)
def _causal_bias(tokens: int, keys: int) -> Tensor:
    seen = torch.ones(tokens, keys, dtype=torch.bool).tril(keys - tokens)
    return hidden_as_bias(seen[None, None], torch.bfloat16)


def _bias_of(mask: Tensor) -> Tensor:
    """Return the bias of a mask. All layers of a call share the mask, so the bias is cached on it."""
    bias: Tensor | None = getattr(mask, "srl_bias", None)
    if bias is None:
        bias = mask.srl_bias = hidden_as_bias(mask, torch.bfloat16)  # type: ignore[attr-defined]
    return bias


AttentionInterface.register(BLOCKED, blocked_attention)
AttentionMaskInterface.register(BLOCKED, sdpa_mask)
