"""TRL's fused LM head on a CPU: completion positions only, and tiles that stay in the cache.

TRL projects every position, the prompt's too, onto the vocabulary where it has no Triton kernels, so that
accelerators which compile per shape see fixed shapes. A CPU compiles nothing: leaving out the positions without a
label gives the same loss and gradient for a fraction of the work (a third of all of it at 135M parameters).

Its tiles are 32,768 words of the vocabulary wide, as one kernel on a GPU wants them; torch's operations, one after the
other, write each of a dozen temporaries of that size to fresh memory. In narrow tiles they take a third of the time.
"""

from typing import Any

import torch
import trl.trainer.utils as trl_utils

_TILE = 2048  # words of the vocabulary


def fit_lm_head_to_cpu() -> None:
    """Patch TRL once; harmless to call again. Other devices are as before."""
    has_triton = trl_utils._use_triton
    if getattr(has_triton, "covers_cpu", False):
        return

    def compact(device: Any) -> bool:
        return device.type == "cpu" or bool(has_triton(device))

    compact.covers_cpu = True  # type: ignore[attr-defined]
    trl_utils._use_triton = compact
    if not torch.accelerator.is_available():
        trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE = _TILE
