"""Samples of one prompt: the prompt is read once, and its keys and values are copied to each."""

import types
from typing import Any

import torch
from transformers import DynamicCache


def add_shared_prefill(model: Any) -> None:
    """Let ``model.generate`` read a prompt once that stands in its batch several times in a row.

    It does so where every prompt stands there equally often and no cache is given; all else is as before.
    """
    generate = model.generate

    def shared(self: Any, inputs: Any = None, **kwargs: Any) -> Any:
        ids = kwargs.pop("input_ids", inputs)
        mask = kwargs.get("attention_mask")
        if ids is not None and mask is not None and kwargs.get("past_key_values") is None:
            cache = prefill(self, ids, mask)
            if cache is not None:
                kwargs["past_key_values"] = cache
        return generate(input_ids=ids, **kwargs)

    model.generate = types.MethodType(shared, model)


@torch.no_grad()
def prefill(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> DynamicCache | None:
    """Keys and values of all but the last token of each row, (B, L) left-padded; None if there is nothing to share."""
    rows = torch.cat([ids, mask.to(ids.dtype)], dim=1)
    unique, counts = torch.unique_consecutive(rows, dim=0, return_counts=True)
    repeats = int(counts[0])
    width = ids.shape[1]
    if repeats < 2 or width < 2 or bool((counts != repeats).any()):
        return None
    few_ids, few_mask = unique[:, :width], unique[:, width:]
    positions = (few_mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    model.base_model(
        input_ids=few_ids[:, :-1],
        attention_mask=few_mask[:, :-1],
        position_ids=positions[:, :-1],
        past_key_values=cache,
        use_cache=True,
    )
    cache.batch_repeat_interleave(repeats)
    return cache
