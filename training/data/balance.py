"""Balance: how many images each class has, and what a training does where some have far fewer than others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

UNEQUAL = 1.2
"""From this ratio of the largest to the smallest class on, accuracy alone misleads."""
_NAMED = 10
"""Classes that a line names one by one."""

Counts = npt.NDArray[np.int64]


def counts_of(labels: npt.NDArray[np.int64], classes: int) -> Counts:
    """Return (classes,) how many of the labels (N,) are of each class."""
    return np.bincount(labels, minlength=classes).astype(np.int64)


def are_unequal(counts: Sequence[int] | Counts) -> bool:
    """Return whether the largest class has at least a fifth more images than the smallest."""
    return max(counts) >= UNEQUAL * min(counts)


def by_class(counts: Sequence[int] | Counts, classes: Sequence[str]) -> str:
    """Return the counts of the classes as words, with the share of always answering the largest one."""
    if len(classes) <= _NAMED:
        text = ", ".join(f"{name} {count:,}" for name, count in zip(classes, counts, strict=True))
    else:
        text = f"{len(classes)} of {min(counts):,} to {max(counts):,} images"
    if not are_unequal(counts):
        return text
    largest = int(np.argmax(counts))
    return f"{text} (always answering {classes[largest]} would be right for {max(counts) / sum(counts):.0%})"


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float32]:
    """Return (classes,) weights of the loss with which every class counts alike: N / (C n_c).

    A class without images has weight 0. The mean over the images is 1, so that the learning rate keeps its
    meaning.
    """
    counts = counts_of(labels, classes)
    present = counts > 0
    weights = np.zeros(classes, dtype=np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def balanced_order(labels: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return (N,) positions in random order, every class as often as another.

    An image of a small class comes several times, one of a large class perhaps not at all; within a class no
    image comes a second time before all others have come once.

    Args:
        labels: (N,).
        random: Source of the draws.
    """
    present = np.unique(labels)
    quotas = np.full(len(present), len(labels) // len(present))
    # The remainder goes to classes at random: always the first ones would favour them in every epoch.
    quotas[random.permutation(len(present))[: len(labels) % len(present)]] += 1
    chosen = []
    for label, quota in zip(present, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        rounds = [random.permutation(members) for _ in range(-(-int(quota) // len(members)))]
        chosen.append(np.concatenate(rounds)[:quota] if rounds else members[:0])
    return random.permutation(np.concatenate(chosen))
