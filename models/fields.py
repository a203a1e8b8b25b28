"""The receptive field of a spec's last features, exact, along one axis (`models.hulls`)."""

from __future__ import annotations

from collections.abc import Iterable

from .hulls import PIXELS, Hulls, union
from .kinds import KINDS
from .layers import StageSpec
from .spec import NetSpec


def features_field(spec: NetSpec) -> Hulls:
    """Return what the last features before the output see, squeeze-excite gates left out."""
    stages = (spec.stem, *spec.stages)
    # Without up-sampling the period is 1 and plain integers do, which a search does all the time.
    shift, low, high = 1, 0, 0
    for stage in stages:
        inputs = []
        for layer in stage.layers:
            kind = KINDS[layer.kind]
            if kind.upsamples and layer.stride > 1:
                return _any_field(stages)
            inputs.append((low, high))
            before, behind = kind.reads(layer)
            low, high = low - before * shift, high + behind * shift
            shift *= layer.stride
            if layer.residual:
                other = inputs[-layer.residual]
                low, high = min(low, other[0]), max(high, other[1])
    return Hulls(shift, (low,), (high,))


def _any_field(stages: Iterable[StageSpec]) -> Hulls:
    """Return the field after any stages, up-sampling included."""
    field = PIXELS
    for stage in stages:
        inputs = []
        for layer in stage.layers:
            inputs.append(field)
            field = KINDS[layer.kind].through(field, layer)
            if layer.residual:
                field = union(field, inputs[-layer.residual])
    return field
