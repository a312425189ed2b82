"""Keys and values of tokens that rows share: computed once, then extended by each row."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer, get_layer_types_and_kwargs

from srl_agent.context_length import rope_tables
from srl_agent.prefix_sharing.cpu_attention import BLOCKED, OVER_TREES

KVCache = Sequence[tuple[Tensor, Tensor]]  # by layer: keys and values, (1, heads, length, size)

# Decoder-only models that compute each token from itself, its position and the keys that its mask shows: those tested.
FAMILIES = frozenset(
    {"gemma2", "gemma3_text", "glm4", "gpt_oss", "granite", "llama", "mistral", "mixtral", "olmo2", "olmo3", "phi3",
     "qwen2", "qwen3", "qwen3_moe", "smollm3", "starcoder2"}
)  # fmt: skip
_ATTENTION = frozenset({"sdpa", "eager", BLOCKED, *OVER_TREES.values()})
_LAYERS = frozenset({"full_attention", "sliding_attention"})
_MOVING_ROPE = frozenset({"dynamic", "longrope"})


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
    """Return why rows that share prefixes would not be computed as whole rows are, None if they would."""
    config = model.config.get_text_config()
    if config is not model.config:
        return "it is not a plain language model"
    if config.model_type not in FAMILIES:
        return f"its family {config.model_type} is none of {', '.join(sorted(FAMILIES))}"
    if config._attn_implementation not in _ATTENTION:
        return f"its attention is {config._attn_implementation}, not sdpa or eager"
    if other := sorted(set(layer_types(config)) - _LAYERS):
        return f"some of its layers are of the type {other[0]}"
    if moving := sorted(_MOVING_ROPE & {str(table.get("rope_type")) for table in rope_tables(config)}):
        return f"its rotary frequencies depend on the longest row of a call (rope_type {moving[0]})"
    if dropout := sorted(key for key, value in vars(config).items() if _is_dropout(key) and value):
        return f"it drops activations at random ({dropout[0]})"
    return None


def layer_types(config: PreTrainedConfig) -> list[str]:
    """Return the type of each layer's attention, as transformers' own caches read it from a configuration."""
    types: list[str] = get_layer_types_and_kwargs(config)[0]
    return types


def _is_dropout(key: str) -> bool:
    return key.endswith(("dropout", "pdrop"))


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
    """Return a transformers cache that starts with views of ``kv_cache``, which its updates leave as it is.

    Layers with a sliding window keep all keys too: their masks hide those before the window, which differ by row.
    """
    cache = DynamicCache()
    cache.layers = [DynamicLayer() for _ in layer_types(model.config)]
    for layer, (key, value) in zip(cache.layers, kv_cache, strict=False):
        assert isinstance(layer, DynamicLayer)
        layer.lazy_initialization(key, value)
        layer.keys, layer.values = key, value
    return cache
