"""What becomes of the memory that a step frees. Under Linux glibc gives it back to the system, and a CPU's next step
waits for its tensors to be mapped anew, page by page.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc refuses more
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep what is freed for the next step; the process does not shrink until it ends. False where there is no glibc.

    Blocks above 32 MiB are still mapped and given back one by one.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    malloc_option = ctypes.CDLL(None).mallopt
    return bool(malloc_option(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and malloc_option(_TRIM_THRESHOLD, _NEVER))
