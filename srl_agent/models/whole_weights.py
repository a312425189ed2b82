"""Load whole weights in every process, whatever engine the launcher chose for training."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.integrations.deepspeed import unset_hf_deepspeed_config

_EFFICIENT_LOADING = "FSDP_CPU_RAM_EFFICIENT_LOADING"


@contextmanager
def whole_weights() -> Iterator[None]:
    """Load models whole: memory-efficient loading fills the first process only, and ZeRO-3 splits what it loads.

    Both expect that a trainer prepares the model. The trainer's arguments, made afterwards, choose ZeRO-3 again.
    """
    unset_hf_deepspeed_config()
    before = os.environ.pop(_EFFICIENT_LOADING, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_EFFICIENT_LOADING] = before
