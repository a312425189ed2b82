"""LoRA on a CPU: one operation per layer, in the dtype of the frozen weights.

peft computes the adapter's products in the adapter's float32. With bfloat16 weights it therefore holds a float32 copy
of every layer's input until the backward pass, and makes several passes over memory to cast, scale and add. Here
parameters and optimizer stay float32, but the products are computed in bfloat16 as the layer's own is.
"""

import types

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import linear

from srl_agent.generation.cpu_weights import active_lora


def fuse_lora(model: nn.Module) -> int:
    """Fuse the products of all LoRA layers over a frozen bfloat16 ``nn.Linear`` on a CPU; return their number.

    A call in which the adapter does more than add ``B A x`` is computed by peft.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLinear) and _can_be_fused(layer)]
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)
    return len(layers)


def _can_be_fused(layer: LoraLinear) -> bool:
    base = layer.base_layer
    if type(base) is not nn.Linear:
        return False
    weight = base.weight
    return weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and not weight.requires_grad


def _forward(self: LoraLinear, x: Tensor, *args: object, **kwargs: object) -> Tensor:
    base, name = self.base_layer, active_lora(self)
    if name is None or args or kwargs or x.dtype != base.weight.dtype or torch.is_autocast_enabled("cpu"):
        output: Tensor = LoraLinear.forward(self, x, *args, **kwargs)
        return output
    a, b = self.lora_A[name].weight, self.lora_B[name].weight
    output = _LoraProduct.apply(x, base.weight, base.bias, a, b, self.scaling[name])  # type: ignore[no-untyped-call]
    return output


class _Context(FunctionCtx):
    scaling: float
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]


class _LoraProduct(torch.autograd.Function):
    """``x W^T + bias + s (x A^T) B^T`` of x (…, in), W (out, in), A (r, in) and B (out, r); W has no gradient."""

    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        rows, a, b = x.reshape(-1, x.shape[-1]), a.to(x.dtype), (b * scaling).to(x.dtype)
        inner = linear(rows, a)
        output = linear(rows, weight, bias).addmm_(inner, b.t())
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scaling = scaling
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        rows, of_output = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        of_inner = of_output @ b
        of_a = (of_inner.t() @ rows).float()
        of_b = (of_output.t() @ inner).float() * ctx.scaling
        of_x = (of_output @ weight).addmm_(of_inner, a).view_as(x) if ctx.needs_input_grad[0] else None
        return of_x, None, None, of_a, of_b, None
