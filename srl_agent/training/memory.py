"""Give free memory back to the system: activations of many lengths leave holes in the C library's heap.

When sampling follows training, the KV caches of many prompts would add to them: 0.5 to 0.8 GB in the demo.
"""

import ctypes


def return_free_memory() -> None:
    """Ask the C library to release freed memory. Only glibc holds back that much."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
