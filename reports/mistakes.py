"""Which mistakes of a classifier are worth looking at."""

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import ArrayLike, NDArray

MOST = 24
"""Mistakes that a figure and its table show."""


@dataclass(frozen=True)
class Mistake:
    """An image that the network was sure about and wrong."""

    image: int
    """Its number in the images that the run was judged on, from 0."""
    true: str
    predicted: str
    confidence: float
    """Probability of the predicted class, 0-1."""


def most_confident_mistakes(labels: ArrayLike, predictions: ArrayLike, confidence: ArrayLike) -> NDArray[Any]:
    """Return the indices of the wrong answers, the surest first, as many as a figure shows.

    Args:
        labels: (K,) true classes.
        predictions: (K,) predicted classes.
        confidence: (K,) probabilities of the predicted class; equals keep their order.
    """
    wrong = numpy.flatnonzero(numpy.asarray(labels) != numpy.asarray(predictions))
    return wrong[numpy.argsort(-numpy.asarray(confidence, dtype=float)[wrong], kind="stable")][:MOST]
