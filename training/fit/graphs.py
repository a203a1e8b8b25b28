"""CUDA graphs: a step of fixed shapes, recorded once and launched as one.

A network of a hundred small layers keeps a GPU waiting for the processor, which launches some thousand
kernels a step; a graph replays them with one call. See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Outputs = tuple[torch.Tensor, ...]
Capture = Callable[[Callable[[], Outputs]], tuple[Callable[[], object], Outputs]]
"""Takes a computation; returns what repeats it, and the tensors that each repetition fills."""

WARMUPS = 3
"""Runs before the recording, in which libraries choose their kernels and allocate their workspaces."""


def record_on_cuda(compute: Callable[[], Outputs]) -> tuple[Callable[[], object], Outputs]:
    """Record `compute` on the current CUDA device."""
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARMUPS):
            compute()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = compute()
    return graph.replay, outputs


class Recorded:
    """A computation on tensors of fixed shapes, recorded at the first call and repeated from then on.

    Args:
        compute: Function of tensors; it may change them, and what it holds itself, only in place.
        state: Tensors that the warm-up must not change; they are put back in place.
        capture: Function that records.
    """

    def __init__(
        self,
        compute: Callable[..., Outputs],
        state: Callable[[], Sequence[torch.Tensor]],
        capture: Capture = record_on_cuda,
    ) -> None:
        self._compute, self._state, self._capture = compute, state, capture
        self._inputs: list[torch.Tensor | None] = []
        self._replay: Callable[[], object] | None = None
        self._outputs: Outputs = ()

    def __call__(self, *arguments: torch.Tensor | None) -> Outputs:
        """Return what `compute` makes of its arguments; valid until the next call."""
        replay = self._replay or self._record(arguments)
        for inside, argument in zip(self._inputs, arguments, strict=True):
            if inside is not None and argument is not None:
                inside.copy_(argument, non_blocking=True)
        replay()
        return self._outputs

    def _record(self, arguments: Sequence[torch.Tensor | None]) -> Callable[[], object]:
        self._inputs = [None if each is None else each.clone() for each in arguments]
        held = [(tensor, tensor.detach().clone()) for tensor in self._state()]
        devices = {each.device for each in arguments if each is not None and each.is_cuda}
        with torch.random.fork_rng(devices=list(devices)):
            self._replay, self._outputs = self._capture(lambda: self._compute(*self._inputs))
        with torch.no_grad():
            for tensor, value in held:
                tensor.copy_(value)
        return self._replay
