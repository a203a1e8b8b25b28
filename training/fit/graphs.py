"""CUDA graphs: a step of fixed shapes, recorded once and launched as one.

A network of a hundred small layers keeps a GPU waiting for the processor, which launches some thousand
kernels a step; a graph replays them with one call. See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Outputs = tuple[torch.Tensor, ...]
Capture = Callable[[Callable[[], Outputs]], tuple[Callable[[], object], Outputs]]
"""Takes a computation; returns what repeats it, and the tensors that each repetition fills."""

WARMUPS = 3
"""Runs before the recording, in which libraries choose their kernels and allocate their workspaces."""


@contextmanager
def _waiting_refused() -> Iterator[None]:
    """Raise within it where the host waits for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that this mode does not find everything yet
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def record_on_cuda(compute: Callable[[], Outputs]) -> tuple[Callable[[], object], Outputs]:
    """Record `compute` on the current CUDA device.

    In the last run before the recording whatever waits for the device raises: a recording that meets it would
    leave the device's context unusable.

    Raises:
        RuntimeError: It cannot be recorded.
    """
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARMUPS - 1):
            compute()
        torch.cuda.synchronize()
        with _waiting_refused():
            compute()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = compute()
    return graph.replay, outputs
