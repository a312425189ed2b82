"""A copy of a model's weights in the order in which a CPU's matrix products read them.

A product of few rows waits for its weights. PyTorch brings bfloat16 weights into oneDNN's order in each call anew;
while a model samples they stay what they are, and one reordering serves all tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
import torch
from torch import nn


@contextmanager
def reordered(model: nn.Module, rows: int) -> Iterator[None]:
    """Meanwhile the model's linear layers use such a copy, where there is room for it. For products of so many rows."""
    layers = [layer for layer in model.modules() if _can_be_reordered(layer)]
    size = sum(layer.weight.nbytes for layer in layers)
    if size > psutil.virtual_memory().available / 4:
        layers = []
    for layer in layers:
        weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
        layer.forward = partial(_product, weight, layer.bias)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _can_be_reordered(layer: Any) -> bool:
    if type(layer) is not nn.Linear or "forward" in vars(layer):
        return False
    return bool(
        layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _product(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
