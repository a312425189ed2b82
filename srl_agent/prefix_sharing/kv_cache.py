"""Keys and values of tokens that rows share: forwarded once, and gone on from by each."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from srl_agent.prefix_sharing.cpu_attention import BLOCKED

Keys = Sequence[tuple[torch.Tensor, torch.Tensor]]  # by layer: keys and values, (1, heads, length, size)

# Decoder-only models whose attention sees all that came before, by their rotary positions.
FAMILIES = frozenset({"llama", "qwen2", "qwen3", "mistral", "smollm3"})
_ATTENTION = frozenset({"sdpa", "eager", BLOCKED})


def why_not(model: Any) -> str | None:
    """Why rows of a model cannot share what they begin with, None if they can."""
    config = model.config.get_text_config()
    if config is not model.config:
        return "it is not a plain language model"
    if config.model_type not in FAMILIES:
        return f"its family {config.model_type} is none of {', '.join(sorted(FAMILIES))}"
    if config._attn_implementation not in _ATTENTION:
        return f"its attention is {config._attn_implementation}, not sdpa or eager"
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return "some of its layers see a sliding window"
    return None


def forward_tokens(model: Any, tokens: Sequence[int], above: Keys) -> Keys:
    """Keys of ``above`` and of tokens that follow them."""
    output = model.base_model(
        input_ids=torch.tensor([tokens], device=model.device),
        past_key_values=cache_of(above, model),
        use_cache=True,
    )
    return [(layer.keys, layer.values) for layer in output.past_key_values.layers]


def first(keys: Keys, length: int) -> Keys:
    """Keys of the first tokens; nothing is copied."""
    return [(key[:, :, :length], value[:, :, :length]) for key, value in keys] if length else []


def cache_of(keys: Keys, model: Any) -> DynamicCache:
    """A cache that begins with these keys; nothing is copied, and what is added to it leaves them as they are."""
    cache = DynamicCache(config=model.config)
    for layer, (key, value) in zip(cache.layers, keys, strict=False):
        assert type(layer) is DynamicLayer
        layer.lazy_initialization(key, value)
        layer.keys, layer.values = key, value
    return cache
