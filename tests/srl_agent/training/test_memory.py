"""Freed memory is returned to the system."""

import platform

import psutil
import pytest
import torch

from srl_agent.training.memory import return_free_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked for it")
def test_memory_below_a_block_in_use_is_returned() -> None:
    blocks = [torch.ones(32_000) for _ in range(2_000)]  # 256 MB in blocks that are too small to be mapped
    last = blocks[-1]
    del blocks
    before = psutil.Process().memory_info().rss
    return_free_memory()
    assert before - psutil.Process().memory_info().rss > 100 * 2**20
    assert last.sum() == 32_000
