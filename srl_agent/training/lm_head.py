"""TRL's fused LM head on a CPU: completion positions only, and a backward pass in the dtype of the model.

Without Triton kernels TRL projects every position onto the vocabulary, prompts included, so that accelerators which
compile per shape see fixed shapes. A CPU compiles nothing: skipping the positions without a label gives the same loss
and gradient for a fraction of the work (it saves a third of the total at 135M parameters).

TRL's tiles are 32,768 words of the vocabulary wide, which suits one kernel on a GPU; torch's separate operations write
each of a dozen temporaries of that size to fresh memory. Narrow tiles take a third of the time.

TRL's backward pass adds up the tiles' products in float32, and on a CPU multiplies in float32. Here a few positions are
multiplied with the whole vocabulary instead: one product, which accumulates in float32 internally, and no tiles to add.
"""

from typing import Any

import torch
import trl.trainer.utils as trl_utils
from torch import Tensor
from torch.autograd.function import FunctionCtx
from trl.kernels import ChunkedLogProbFunction

_TILE = 2048  # words of the vocabulary, forward
_ROWS = 256  # positions, backward


def fit_lm_head_to_cpu() -> None:
    """Patch TRL; calling it again has no effect. Other devices are not affected."""
    has_triton = trl_utils._use_triton
    if getattr(has_triton, "covers_cpu", False):
        return

    def compact(device: torch.device) -> bool:
        return device.type == "cpu" or bool(has_triton(device))

    compact.covers_cpu = True  # type: ignore[attr-defined]
    trl_utils._use_triton = compact
    trl_utils._ChunkedLogProbFunction = _CpuLogProbFunction
    if not torch.accelerator.is_available():
        trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE = _TILE


class _Context(FunctionCtx):
    """The context as TRL's forward pass fills it."""

    kernel_args: dict[str, Any]
    compute_dtype: torch.dtype
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]
    is_plain: bool


class _CpuLogProbFunction(ChunkedLogProbFunction):
    """TRL's function, with our backward pass for a frozen head on a CPU and a loss of log-probabilities."""

    @staticmethod
    def forward(
        ctx: _Context, hidden: Tensor, weight: Tensor, bias: Tensor | None, *more: object
    ) -> tuple[Tensor | None, ...]:
        outputs: tuple[Tensor | None, ...]
        outputs = ChunkedLogProbFunction.forward(ctx, hidden, weight, bias, *more)
        has_softcap = ctx.kernel_args["HAS_SOFTCAP"]
        ctx.is_plain = hidden.device.type == "cpu" and bias is None and not has_softcap
        return outputs

    @staticmethod
    def backward(
        ctx: _Context, grad_logprobs: Tensor | None, grad_entropy: Tensor | None, *more: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if not ctx.is_plain or ctx.needs_input_grad[1] or grad_logprobs is None or grad_entropy is not None:
            gradients: tuple[Tensor | None, ...]
            gradients = ChunkedLogProbFunction.backward(ctx, grad_logprobs, grad_entropy, *more)
            return gradients
        hidden, weight, _, targets, log_z, _ = ctx.saved_tensors
        scale = ctx.kernel_args["inv_t"] * ctx.kernel_args["logit_scale"]
        gradient, weight = torch.empty_like(hidden), weight.to(ctx.compute_dtype)
        for start in range(0, len(hidden), _ROWS):
            rows = slice(start, start + _ROWS)
            logits = hidden[rows].to(ctx.compute_dtype) @ weight.t()
            target = targets[rows, None]
            # d(log p_target) / dz_j = 1[j = target] - p_j: the target's is exact, also where its p is nearly 1.
            of_target = torch.expm1(logits.gather(1, target).float() * scale - log_z[rows, None])
            scaled = logits if scale == 1 else logits.float().mul_(scale)  # never rounded twice
            of_logits = scaled.softmax(dim=1).to(logits.dtype).scatter_(1, target, of_target.to(logits.dtype))
            gradient[rows] = (of_logits @ weight).float() * (-scale * grad_logprobs[rows, None].float())
        return gradient, *[None] * 8
