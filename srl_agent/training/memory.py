"""Give free memory back to the system: activations of many lengths leave holes in the C library's heap.

Where training gives way to sampling, the keys of many prompts would come on top of them: 0.5 to 0.8 GB in the demo.
"""

import ctypes


def return_free_memory() -> None:
    """Ask the C library for it; only glibc keeps what was freed in such amounts."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
