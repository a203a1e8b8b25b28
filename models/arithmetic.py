"""What a spec costs and sees, from closed forms: parameters, MACs, receptive field, memory. No torch.

The tests compare every figure with the built network: parameters and MACs with torch, all with rfcalc.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from .errors import SpecError
from .fields import features_field
from .kinds import KINDS
from .layers import LayerSpec, StageSpec
from .outputs import OUTPUTS, output_elements, output_macs, output_params
from .rules import Shape, stage_shapes
from .spec import NetSpec

FLOAT32_BYTES = 4


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a network, by the conventions of rfcalc; pairs are (height, width).

    Attributes:
        params: Trainable parameters (the grammar has no others).
        macs: Multiply-accumulates of convolutions and linear layers, one image.
        receptive_field: Extent in input pixels on the unbounded plane of what one unit of the last features
            before global pooling sees, the largest over the phases; squeeze-excite gates left out.
        jump: Input pixels for each step of those features.
        start: First pixel that their unit 0 sees; negative: inside the padding.
        peak_activation_bytes: Largest sum of float32 tensors alive at once, one image, the input included.
        depthwise_separable: Depthwise convolutions whose result a 1x1 convolution reads through norms,
            activations, dropout and squeeze-excite gates alone.
        dilated: Convolutions with dilation > 1 and kernel > 1.
    """

    params: int
    macs: int
    receptive_field: tuple[int, int]
    jump: tuple[Fraction, Fraction]
    start: tuple[int, int]
    peak_activation_bytes: int
    depthwise_separable: int
    dilated: int


def figures(spec: NetSpec, input_size: Shape | None = None) -> Figures:
    """Return the figures of a spec without building it.

    Args:
        spec: The network.
        input_size: Channels, height and width of an image; None: the spec's own.

    Raises:
        SpecError: A stage shrinks an image of this size to nothing, or its channels are not the spec's.
    """
    shapes_of = spec.shapes if input_size is None else _shapes_at(spec, input_size)
    params = macs = elements = pairs = dilated = 0
    pending = False  # the current features are a normed, activated copy of a depthwise convolution's result
    for (_, stage), shapes in zip(spec.parts(), shapes_of, strict=True):
        spans = [
            (end + 1 - layer.residual, end) for end, layer in enumerate(stage.layers) if layer.residual > 1
        ]
        channels, height, width = shapes[0]
        inputs = height * width
        for index, layer in enumerate(stage.layers):
            out, height, width = shapes[index + 1]
            outputs = height * width
            kind = KINDS[layer.kind]
            weights = kind.weights(layer, channels)
            params += kind.params(layer, channels, weights)
            macs += kind.macs(layer, inputs, outputs, weights)
            kept, beside = (layer.residual > 0, 0) if not spans else _held(layer, index, spans, shapes)
            elements = max(elements, beside + kind.elements(layer, channels, inputs, outputs, kept))
            found, pending = kind.pairs(layer, channels, pending)
            pairs += found
            dilated += kind.dilated(layer)
            channels, inputs = out, outputs
    shape = shapes_of[-1][-1]
    last = (spec.output, shape[0], shape[1] * shape[2], spec.classes)
    pairs += pending and OUTPUTS[spec.output.kind].pointwise
    field = features_field(spec)
    size, jump, start = field.size, field.jump, field.lows[0]
    return Figures(
        params=params + output_params(spec.output, shape[0], spec.classes),
        macs=macs + output_macs(*last),
        receptive_field=(size, size),
        jump=(jump, jump),
        start=(start, start),
        peak_activation_bytes=FLOAT32_BYTES * max(elements, output_elements(*last)),
        depthwise_separable=pairs,
        dilated=dilated,
    )


def count_params(stages: Iterable[StageSpec], channels: int) -> int:
    """Return the parameters of stages in a row, the first of which reads `channels` channels.

    For solvers that try many widths: it needs no `NetSpec`, so nothing is checked.
    """
    params = 0
    for stage in stages:
        for layer in stage.layers:
            kind = KINDS[layer.kind]
            params += kind.params(layer, channels, kind.weights(layer, channels))
            channels = layer.width
    return params


def _shapes_at(spec: NetSpec, input_size: Shape) -> list[list[Shape]]:
    """Return the shapes of every part for images of another size."""
    if input_size[0] != spec.input_size[0]:
        raise SpecError(
            f"input_size: {spec.name} reads {spec.input_size[0]} channels, but got {input_size!r}"
        )
    found, shape = [], input_size
    for name, stage in spec.parts():
        found.append(stage_shapes(name, stage, shape))
        shape = found[-1][-1]
    return found


def _held(
    layer: LayerSpec, index: int, spans: list[tuple[int, int]], shapes: list[Shape]
) -> tuple[bool, int]:
    """Return what shortcuts over several layers hold back while layer `index` runs.

    Args:
        layer: The layer.
        index: Its place in the stage.
        spans: First and last layer of every shortcut of the stage over more than one layer.
        shapes: The input shape of every layer of the stage.

    Returns:
        Whether the layer's input must outlive its first step, and the elements of other layers' inputs.
    """
    held = {start for start, end in spans if start <= index <= end}
    others = sum(math.prod(shapes[start]) for start in held if start != index)
    return layer.residual == 1 or index in held, others
