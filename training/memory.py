"""Too little memory: what tells it from other errors, and what the user is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from training.errors import TrainingError

T = TypeVar("T")

_TEXTS = ("can't allocate memory", "MPS backend out of memory")
"""Of a CPU's allocator and of Apple's, which raise a RuntimeError that nothing else tells from others."""


def ran_out(error: BaseException) -> bool:
    """Return whether `error` says that the memory of a device did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


@contextmanager
def enough_for(device: torch.device, batch: int) -> Iterator[None]:
    """Say what to do when the memory does not suffice for a batch.

    Raises:
        TrainingError: It did not.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        raise TrainingError(
            f"{device} ran out of memory with batches of {batch}; try batch_size {max(2, batch // 2)}"
        ) from error


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
