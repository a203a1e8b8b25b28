"""Too little memory: how to know it from other errors, and one line with the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch

from training.errors import TrainingError

T = TypeVar("T")

_TEXTS = ("can't allocate memory", "MPS backend out of memory")
"""Texts of a CPU's allocator and of Apple's, which raise a RuntimeError without a class of its own."""


def ran_out(error: BaseException) -> bool:
    """Return whether `error` says that the memory of a device did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


@contextmanager
def memory_error_as(text: str | Callable[[], str]) -> Iterator[None]:
    """Turn too little memory within it into `text`, or what it returns: one line with the way out.

    Raises:
        TrainingError: The memory did not suffice.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        failed = error
    else:
        return
    # Behind the handler: the traceback of an error keeps the tensors of the step alive.
    line = text if isinstance(text, str) else text()
    raise TrainingError(line) from failed.with_traceback(None)


def enough_for(
    device: torch.device, batch: int, fits: Callable[[int], bool] | None = None
) -> AbstractContextManager[None]:
    """Turn too little memory for a batch into an error that suggests a smaller one.

    Args:
        device: Where it did not suffice.
        batch: Images in it.
        fits: Function that tries a batch. On CUDA what fits after some halvings is suggested; elsewhere a
            trial might take the memory of other programs.
    """

    def text() -> str:
        smaller = max(2, batch // 2)
        if fits is not None and device.type == "cuda":
            while smaller > 2 and not fits(smaller):
                smaller = max(2, smaller // 2)
        return f"{device} ran out of memory with batches of {batch}; try batch_size {smaller}"

    return memory_error_as(text)


def made_within(batches: Iterable[T], device: torch.device, batch: int) -> Iterator[T]:
    """Yield the batches; say the same when one cannot be made. What is done with them is not watched."""
    iterator = iter(batches)
    while True:
        with enough_for(device, batch):
            try:
                made = next(iterator)
            except StopIteration:
                return
        yield made
