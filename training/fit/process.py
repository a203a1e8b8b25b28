"""Settings of a process that trains: how its threads wait (before torch is imported), and its allocator."""

import ctypes
import os
import sys

SPINS = "20000"
"""Rounds that a thread of GNU OpenMP looks for work before it sleeps (some 50 microseconds).

Its default is to spin nearly for ever, which is right on an idle machine alone: beside any other busy
program one thread spins while the one it waits for has no processor. Measured for a training step of `tiny`,
batch 128, bfloat16, 2 threads on 2 cores: medians of 6 steps in milliseconds, least and most of up to 5 runs:

    spins                    default   100,000  50,000    20,000  5,000    0 (policy "passive")
    with priority            61-110    58-71              40-65   62-119   109-149
    beside 4 to 8 programs   505-1994           189-1162          180-374  116-216
"""

# Parameters of glibc's mallopt, from its <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MALLOC = {
    _M_MMAP_THRESHOLD: 32 << 20,  # bytes; glibc takes no more
    _M_TRIM_THRESHOLD: 2**31 - 1,
    _M_TOP_PAD: 64 << 20,
}


def prepare() -> None:
    """Make this process ready to train on a CPU, before it imports torch.

    Processes that it starts inherit how to wait; the allocator is set in each process.
    """
    wait_politely()
    keep_freed_memory()


def wait_politely() -> None:
    """Let threads that wait give way soon, unless the user has chosen otherwise."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def keep_freed_memory() -> bool:
    """Let glibc's allocator keep what is freed for the next step; return whether it does from now on.

    Every step frees the same megabytes that the next one asks for. By default they go back to the system and
    come again page by page, in thousands of page faults for one step of `residual` (see docs/training.md).
    Who has set glibc's own variables for it has chosen already.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ)
    chosen |= "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if not sys.platform.startswith("linux") or chosen:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(mallopt(key, value) for key, value in _MALLOC.items())
