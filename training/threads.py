"""How torch's threads wait for each other; to be set before torch is imported."""

import os

SPINS = "20000"
"""Rounds that a thread of GNU OpenMP looks for work before it sleeps (some 50 microseconds).

Its default is to spin nearly for ever, which is right on an idle machine alone: beside any other busy
program one thread spins while the one it waits for has no processor. Measured for a training step of `tiny`,
batch 128, 2 threads on 2 cores, milliseconds (medians of 6 steps, 3 runs each):

    spins            default   20,000   0 (OMP_WAIT_POLICY=passive)
    machine to itself  77-110    40-65    109-149
    beside 4-8 others  505-1994  76      116-216
"""


def wait_politely() -> None:
    """Let threads that wait give way soon, unless the user has chosen otherwise."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
