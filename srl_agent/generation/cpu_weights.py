"""Weight copies that make sampling cheap: LoRA merged, and on a CPU packed for oneDNN.

Decoding one token of a few rows multiplies few rows with every weight, so its time is that of reading the weights and
of starting each operation. An adapter adds six small operations to each linear layer, and on a CPU PyTorch packs
bfloat16 weights for oneDNN in every call. Weights do not change while a model samples, so one copy serves all tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

import psutil
import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn.functional import linear

_Layer: TypeAlias = nn.Linear | LoraLinear


@contextmanager
def sampling_weights(model: nn.Module, rows: int) -> Iterator[None]:
    """Temporarily compute a model's linear layers with such copies, if memory allows.

    ``rows``: tokens per product. The model's own weights are not touched: merging an adapter and unmerging it would
    round them each time.
    """
    found = _outermost_linear(model)
    layers = [layer for layer in found if _gains_by_merging(layer) or _gains_by_packing(layer)]
    weights = [_base(layer).weight for layer in layers]
    if sum(weight.nbytes for weight in weights) > _free_memory(weights) / 4:
        layers = []
    own = {layer: vars(layer).get("forward") for layer in layers}
    for layer in layers:
        layer.forward = _product(layer, rows)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer, forward in own.items():
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward  # type: ignore[method-assign]


def _free_memory(weights: Sequence[Tensor]) -> int:
    """Return the free bytes of the devices that hold the weights."""
    devices = {weight.device for weight in weights}
    free = [torch.cuda.mem_get_info(device)[0] for device in devices if device.type == "cuda"]
    return sum(free) if free else int(psutil.virtual_memory().available)


def active_lora(layer: LoraLinear) -> str | None:
    """Return the name of a LoRA layer's adapter if it only adds ``B A x`` to the output, else None.

    None for several adapters, a merged or disabled one, a variant such as DoRA, or dropout while training.
    """
    if layer.merged or layer.disable_adapters or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    if name not in layer.lora_A or name in layer.lora_variant or layer.lora_bias[name]:
        return None
    if layer.training and not isinstance(layer.lora_dropout[name], nn.Identity):
        return None
    return str(name)


def _outermost_linear(model: nn.Module) -> list[_Layer]:
    """Return linear layers with or without an adapter, without the layers inside adapters."""
    adapted = [layer for layer in model.modules() if isinstance(layer, LoraLinear)]
    wrapped = {id(part) for layer in adapted for part in layer.modules()}
    return [
        layer
        for layer in model.modules()
        if isinstance(layer, LoraLinear) or (type(layer) is nn.Linear and id(layer) not in wrapped)
    ]


def _base(layer: _Layer) -> nn.Linear:
    base: nn.Linear = layer.base_layer if isinstance(layer, LoraLinear) else layer
    return base


def _gains_by_merging(layer: _Layer) -> bool:
    if not isinstance(layer, LoraLinear) or type(layer.base_layer) is not nn.Linear:
        return False
    return not layer.base_layer.weight.is_meta and active_lora(layer) is not None


def _gains_by_packing(layer: _Layer) -> bool:
    weight = layer.weight if type(layer) is nn.Linear else None
    return weight is not None and _has_fast_product(weight)


def _has_fast_product(weight: Tensor) -> bool:
    return bool(
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _product(layer: _Layer, rows: int) -> Callable[[Tensor], Tensor]:
    """Return the layer's function of its input, with a copy of its weight."""
    base = _base(layer)
    weight = base.weight.detach()
    if isinstance(layer, LoraLinear):
        delta = layer.get_delta_weight(active_lora(layer)).detach()
        weight = (weight.float() + delta.float()).to(weight.dtype)
    if _has_fast_product(weight):
        return partial(_fast_product, torch.ops.mkldnn._reorder_linear_weight(weight, rows), base.bias)
    return partial(linear, weight=weight, bias=base.bias)


def _fast_product(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    output: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return output
