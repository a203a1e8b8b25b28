"""A ranker of untrained networks: ridge regression on counts of the spec, learnt from the trials so far.

It is the plainest neural predictor (Wen et al., Neural Predictor for Neural Architecture Search, ECCV 2020):
train some networks, regress, train those with the best predictions. 100 networks of 100,000 parameters that
an earlier search trained were ranked by it with tau 0.64, those of eight zero-cost proxies together by 0.38.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log, log2, sqrt
from typing import Self

import numpy as np
import numpy.typing as npt

from models.arithmetic import figures
from models.layers import LayerSpec
from models.spec import NetSpec, stage_widths

PENALTY = 10.0
"""Of the ridge, on standardised columns; the one that was measured."""
BOOTSTRAPS = 20
"""Resamplings of the trials whose spread says how certain a prediction is."""
Floats = npt.NDArray[np.float64]


def counts(spec: NetSpec) -> list[float]:
    """Return 20 figures of a network: counts of its layers by kind, widths, resolution, MACs and field."""
    layers: list[LayerSpec] = []
    maps: list[int] = []
    for (_, stage), shapes in zip(spec.parts(), spec.shapes, strict=True):
        layers += stage.layers
        maps += [shape[1] for shape in shapes[1:]]
    known, widths = figures(spec), stage_widths(spec)
    full = spec.input_size[1]
    dilated = [max([layer.dilation, *(b.dilation for b in layer.branches)]) > 1 for layer in layers]
    kernels = [max([layer.kernel, *(b.kernel for b in layer.branches)]) for layer in layers]
    return [
        float(len(layers)),
        float(sum(layer.kind == "conv" for layer in layers)),
        float(sum(layer.kind == "dilated" for layer in layers)),
        float(sum(layer.kind == "depthwise_separable" for layer in layers)),
        float(sum(layer.kind == "split" for layer in layers)),
        float(sum(layer.kind == "transposed" for layer in layers)),
        float(sum(dilated)),
        float(sum(kernel >= 7 for kernel in kernels)),
        float(sum(layer.gated for layer in layers)),
        float(sum(layer.squeeze_excite > 0 for layer in layers)),
        float(sum(layer.residual > 0 for layer in layers)),
        float(sum(side == full for side in maps)),
        float(sum(layer.order == "norm-act-conv" for layer in layers)),
        float(layers[-1].activation != "relu"),
        log2(maps[-1]),
        sum(map(log2, maps)) / len(maps),
        log(widths[0]),
        log(widths[-1]),
        log(known.macs),
        log(min(known.receptive_field)),
    ]


@dataclass(frozen=True)
class Ranker:
    """Predicts the validation loss of networks."""

    centre: Floats
    scale: Floats
    weights: Floats
    """(bootstraps + 1, columns): the first row of all trials, the others of resampled ones."""
    offsets: Floats

    @classmethod
    def learnt(cls, specs: Sequence[NetSpec], losses: Sequence[float], seed: int) -> Self:
        """Return the ranker that these networks and their validation losses teach.

        Args:
            specs: At least two networks.
            losses: Of each.
            seed: Of the resampling.
        """
        table, values = np.array([counts(spec) for spec in specs]), np.array(losses)
        centre, scale = table.mean(axis=0), table.std(axis=0)
        scale[scale == 0] = 1.0
        scaled = (table - centre) / scale
        rng = np.random.default_rng(seed)
        draws = [np.arange(len(values))]
        draws += [rng.integers(0, len(values), len(values)) for _ in range(BOOTSTRAPS)]
        fitted = [_ridge(scaled[rows], values[rows]) for rows in draws]
        return cls(
            centre, scale, np.array([each[0] for each in fitted]), np.array([each[1] for each in fitted])
        )

    def predict(self, specs: Sequence[NetSpec]) -> tuple[Floats, Floats]:
        """Return the predicted loss of each network and the spread of the prediction over the bootstraps."""
        scaled = (np.array([counts(spec) for spec in specs]) - self.centre) / self.scale
        every = scaled @ self.weights.T + self.offsets
        return every[:, 0], every[:, 1:].std(axis=1)


def _ridge(table: Floats, values: Floats) -> tuple[Floats, float]:
    """Return weights and offset: (X'X + penalty I) w = X'(y - mean), X centred."""
    middle, offset = table.mean(axis=0), values.mean()
    centred = table - middle
    matrix = centred.T @ centred + PENALTY * np.eye(table.shape[1])
    weights = np.linalg.solve(matrix, centred.T @ (values - offset))
    return weights, float(offset - middle @ weights)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Kendall's tau-b of two lists of scores, 1 for the same order, -1 for the opposite one.

    Ties count for neither side and shorten the scale (Kendall, The treatment of ties in ranking problems,
    1945). None: one of the lists has no order, all its scores are equal.
    """
    score = ordered_first = ordered_second = 0
    # Not numpy's floats: their comparisons cannot be subtracted.
    pairs = [(float(a), float(b)) for a, b in zip(first, second, strict=True)]
    for (a, b), (c, d) in combinations(pairs, 2):
        one, other = (a > c) - (a < c), (b > d) - (b < d)
        score += one * other
        ordered_first += abs(one)
        ordered_second += abs(other)
    if not ordered_first or not ordered_second:
        return None
    return score / sqrt(ordered_first * ordered_second)
