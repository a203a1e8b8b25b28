"""Who sees which image: the held-out validation split and subsets of it, both stratified by class."""

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError

SPLIT_SEED = 20_240_917
"""Seed of the validation split: fixed, apart from `--seed`: all runs are judged on the same images."""

Indices = npt.NDArray[np.int64]


def holdout(labels: npt.ArrayLike, fraction: float = 0.1, seed: int = SPLIT_SEED) -> tuple[Indices, Indices]:
    """Split a training set in two, class by class.

    Args:
        labels: (N,) class of each image.
        fraction: Share of each class that is held out, rounded to whole images; every class keeps at least
            one image on either side.
        seed: Seed of the choice; the default is the project's own split.

    Returns:
        Indices to train on and indices to validate on, both ascending; together they are 0..N-1.

    Raises:
        TrainingError: A class has a single image, which cannot be on both sides.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"`0 < fraction < 1` must hold, but got fraction={fraction}")
    labels = np.asarray(labels)
    position, size = _positions(labels, seed)
    if size.size and size.min() < 2:
        lonely = labels[size.argmin()]
        raise TrainingError(
            f"class number {lonely} has one training image; hold-out validation needs two a class"
        )
    held = np.clip(np.round(fraction * size), 1, size - 1)
    return np.flatnonzero(position >= held), np.flatnonzero(position < held)


def subset(indices: npt.ArrayLike, labels: npt.ArrayLike, n: int, seed: int) -> Indices:
    """Choose `n` of `indices`, every class in proportion.

    The choice for n images is contained in the choice for more of them with the same seed, so that runs of
    growing budgets see growing sets.

    Args:
        indices: (M,) images to choose from, positions in `labels`.
        labels: (N,) class of each image of the whole set.
        n: Number of images to choose; `M` or more means all of them.
        seed: Seed of the choice.

    Returns:
        (min(n, M),) indices, ascending.

    Raises:
        TrainingError: n is smaller than the number of classes.
    """
    indices = np.asarray(indices, dtype=np.int64)
    chosen_from = np.asarray(labels)[indices]
    classes = np.unique(chosen_from).size
    if n < classes:
        raise TrainingError(
            f"a subset of {n} images cannot hold all {classes} classes; take at least {classes}"
        )
    position, size = _positions(chosen_from, seed)
    # Webster's method: the k-th image of a class of s waits at (k + 1/2) / s; unlike rounding shares it never
    # takes an image back when n grows. Classes of 4 and 2 images wait at 1/8, 3/8, 5/8, 7/8 and 1/4, 3/4: the
    # first three chosen are two of the first class and one of the second.
    waiting = (position + 0.5) / size
    order = np.lexsort((_shuffled(len(indices), seed + 1), waiting))
    return np.sort(indices[order[:n]])


def _positions(labels: npt.NDArray[np.int64], seed: int) -> tuple[Indices, Indices]:
    """Return each image's place in the shuffled order of its class, and the size of its class."""
    position = np.empty(len(labels), dtype=np.int64)
    size = np.empty(len(labels), dtype=np.int64)
    shuffled = _shuffled(len(labels), seed)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        position[members[np.argsort(shuffled[members], kind="stable")]] = np.arange(len(members))
        size[members] = len(members)
    return position, size


def _shuffled(n: int, seed: int) -> npt.NDArray[np.uint64]:
    # Raw bits, because NumPy promises their stream for ever, and that of Generator.permutation not (NEP 19).
    return np.random.PCG64(seed).random_raw(n)
