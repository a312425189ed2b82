"""Keys and values of tokens that rows share: computed once, then extended by each row."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from srl_agent.prefix_sharing.cpu_attention import BLOCKED, OVER_TREES

KVCache = Sequence[tuple[Tensor, Tensor]]  # by layer: keys and values, (1, heads, length, size)

# Decoder-only models with full causal attention and rotary positions.
FAMILIES = frozenset({"llama", "qwen2", "qwen3", "mistral", "smollm3"})
_ATTENTION = frozenset({"sdpa", "eager", BLOCKED, *OVER_TREES.values()})


def without_adapter(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model inside PEFT's wrapper, or the model itself."""
    wrapped = getattr(model, "get_base_model", None)
    base: PreTrainedModel = wrapped() if wrapped else model
    return base


def embedding_dtype(model: PreTrainedModel) -> torch.dtype:
    """Return the dtype of the hidden states: that of the input embeddings' weight."""
    # Not by the name ``weight``: ZeRO-3 would gather it in every backward pass of the model that reads it so.
    return next(model.get_input_embeddings().parameters()).dtype


def unsupported_reason(model: PreTrainedModel) -> str | None:
    """Return why prefixes cannot be shared with this model, None if they can."""
    config = model.config.get_text_config()
    if config is not model.config:
        return "it is not a plain language model"
    if config.model_type not in FAMILIES:
        return f"its family {config.model_type} is none of {', '.join(sorted(FAMILIES))}"
    if config._attn_implementation not in _ATTENTION:
        return f"its attention is {config._attn_implementation}, not sdpa or eager"
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return "some of its layers attend to a sliding window only"
    return None


def forward_tokens(model: PreTrainedModel, tokens: Sequence[int], prefix_kv: KVCache) -> KVCache:
    """Return the KV cache of a prefix and of ``tokens``, which follow it."""
    output = model.base_model(
        input_ids=torch.tensor([tokens], device=model.device),
        past_key_values=as_dynamic_cache(prefix_kv, model),
        use_cache=True,
    )
    return [(layer.keys, layer.values) for layer in output.past_key_values.layers]


def truncate(kv_cache: KVCache, length: int) -> KVCache:
    """Return the cache of the first ``length`` tokens, as views."""
    return [(key[:, :, :length], value[:, :, :length]) for key, value in kv_cache] if length else []


def as_dynamic_cache(kv_cache: KVCache, model: PreTrainedModel) -> DynamicCache:
    """Return a transformers cache that starts with views of ``kv_cache``, which its updates leave as it is."""
    cache = DynamicCache(config=model.config)
    for layer, (key, value) in zip(cache.layers, kv_cache, strict=False):
        assert type(layer) is DynamicLayer
        layer.lazy_initialization(key, value)
        layer.keys, layer.values = key, value
    return cache
