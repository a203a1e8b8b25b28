"""How much better one network is than another: validation losses of the same images, paired.

Two networks err on the same images, so the difference image by image has a far smaller spread than either
loss: at 24,000 image passes the standard error of a difference of two networks was 0.0074 paired and 0.0189
unpaired (n = 5,000 images).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from records.search import LossDifference

Losses = npt.NDArray[np.float16]
"""(N,) cross-entropy of each validation image."""

SEED_NOISE = 0.01
"""Standard deviation of a network's validation loss over seeds that is assumed before any was seen: two seeds
of `residual` were 0.014 apart, which is 0.01 times the square root of 2."""
SEED_WEIGHT = 4
"""Degrees of freedom that the assumption counts as, beside those that the search itself measures."""

# Student's t, 97.5 %, of 1 to 30 degrees of freedom; beyond them 1.96 + 2.4 / n is right to 0.002.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t with so many degrees of freedom."""
    return _T[freedom - 1] if freedom <= len(_T) else 1.96 + 2.4 / freedom


@dataclass(frozen=True)
class Noise:
    """How much a network's validation loss moves with the seed of its training."""

    deviation: float = SEED_NOISE
    freedom: int = SEED_WEIGHT

    @classmethod
    def measured(cls, table: Sequence[Sequence[float]]) -> "Noise":
        """Return the noise of networks (rows) that were trained with the same seeds (columns).

        It is what is left of the losses when the mean of each network and of each seed is taken away, with
        (networks - 1) * (seeds - 1) degrees of freedom, pooled with what is assumed without any measurement.
        """
        losses = np.array(table, dtype=np.float64)
        assumed = SEED_WEIGHT * SEED_NOISE**2
        if losses.ndim != 2 or min(losses.shape) < 2:
            return cls()
        left = losses - losses.mean(axis=1, keepdims=True) - losses.mean(axis=0) + losses.mean()
        freedom = (losses.shape[0] - 1) * (losses.shape[1] - 1)
        pooled = (float((left**2).sum()) + assumed) / (freedom + SEED_WEIGHT)
        return cls(sqrt(pooled), freedom + SEED_WEIGHT)


def difference(
    ours: Sequence[float],
    theirs: Sequence[float],
    noise: Noise,
    images: Sequence[tuple[Losses, Losses]] = (),
    points: float = 0.0,
) -> LossDifference:
    """Compare two networks that were trained with the same seeds.

    The variance is that of the images, of the differences averaged over the seeds, plus that of the seeds,
    2 * deviation^2 / runs.

    Args:
        ours: Mean validation loss of each run.
        theirs: Likewise, of as many runs.
        noise: Of the seeds.
        images: Losses of each image, ours and theirs, run by run; without them the images count as exact.
        points: Our accuracy minus theirs, in percentage points, where it is wanted.
    """
    runs = len(ours)
    assert runs == len(theirs) > 0
    variance = 2 * noise.deviation**2 / runs
    if images:
        gaps = np.mean([a.astype(np.float64) - b.astype(np.float64) for a, b in images], axis=0)
        variance += float(gaps.var(ddof=1)) / len(gaps) if len(gaps) > 1 else 0.0
    error = sqrt(variance)
    return LossDifference(
        loss=float(np.mean(ours) - np.mean(theirs)),
        error=error,
        reach=quantile(noise.freedom) * error,
        points=points,
        runs=runs,
    )


def paired(ours: Sequence[Losses | None], theirs: Sequence[Losses | None]) -> list[tuple[Losses, Losses]]:
    """Return the losses of each image, run by run, where all runs have them for the same images, else []."""
    pairs = [
        (a, b)
        for a, b in zip(ours, theirs, strict=True)
        if a is not None and b is not None and len(a) == len(b)
    ]
    return pairs if len(pairs) == len(ours) else []
