"""Too little memory: how to know it from other errors, and one line with the way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
def memory_error_as(text: str) -> Iterator[None]:
    """Turn too little memory within it into `text`, one line with the way out.

    Raises:
        TrainingError: The memory did not suffice.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        raise TrainingError(text) from error


def enough_for(device: torch.device, batch: int) -> AbstractContextManager[None]:
    """Turn too little memory for a batch into an error that suggests a smaller one."""
    return memory_error_as(
        f"{device} ran out of memory with batches of {batch}; try batch_size {max(2, batch // 2)}"
    )


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
