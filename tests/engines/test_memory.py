"""Freed memory stays with the process: measured from outside, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from semimed_monai.engines import memory
from semimed_monai.engines.memory import keep_freed_memory

RESIDENT_AFTER = """
import ctypes, runpy, sys
from pathlib import Path
keep_freed_memory = runpy.run_path(sys.argv[2])["keep_freed_memory"]  # without all that the package imports
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before = resident()
for _ in range(3):
    blocks = [libc.malloc(1 << 24) for _ in range(8)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 24)
    for block in blocks:
        libc.free(block)
print((resident() - before) >> 20)
"""


def test_what_is_freed_stays() -> None:
    if not keep_freed_memory():
        pytest.skip("no glibc here: the allocator is left as it is")
    command = [sys.executable, "-c", RESIDENT_AFTER]
    kept, given_back = (
        int(subprocess.run([*command, how, memory.__file__], check=True, capture_output=True).stdout)
        for how in ("keep", "leave")
    )
    assert kept >= 100
    assert given_back <= 40
