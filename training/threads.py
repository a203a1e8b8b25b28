"""How torch's threads wait for each other; to be set before torch is imported."""

import os

SPINS = "20000"
"""Rounds that a thread of GNU OpenMP looks for work before it sleeps (some 50 microseconds).

Its default is to spin nearly for ever, which is right on an idle machine alone: beside any other busy
program one thread spins while the one it waits for has no processor. Measured for a training step of `tiny`,
batch 128, bfloat16, 2 threads on 2 cores: medians of 6 steps in milliseconds, least and most of up to 5 runs:

    spins                    default   100,000  50,000    20,000  5,000    0 (policy "passive")
    with priority            61-110    58-71              40-65   62-119   109-149
    beside 4 to 8 programs   505-1994           189-1162          180-374  116-216
"""


def wait_politely() -> None:
    """Let threads that wait give way soon, unless the user has chosen otherwise."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
