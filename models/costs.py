"""Parameters, MACs and activation memory of one layer in closed form.

MACs: multiply-accumulates of convolutions and linear layers for one image; biases, norms and pooling are not
counted, and a transposed convolution counts by input positions, as `torch.utils.flop_counter` does. Memory:
elements of the tensors alive at once while the layer runs in eval mode, where dropout does nothing, a ReLU on
a fresh tensor works in place and every other step writes a new tensor.
"""

from __future__ import annotations

from typing import NamedTuple

from .spec import LayerSpec, OutputSpec


class Costs(NamedTuple):
    """Parameters, MACs of one image, and the largest number of activation elements alive at once."""

    params: int
    macs: int
    elements: int


def divide(channels: int, branches: int) -> list[int]:
    """Divide channels over branches as evenly as possible; the first branches get what is left over."""
    share, left = divmod(channels, branches)
    return [share + (number < left) for number in range(branches)]


def squeeze_width(layer: LayerSpec) -> int:
    """Return the hidden units of a layer's squeeze-excite gate."""
    return max(1, layer.width // layer.squeeze_excite)


def layer_costs(layer: LayerSpec, channels: int, height: int, width: int, kept: bool) -> Costs:
    """Return what a layer costs that reads a map of `channels` x `height` x `width`.

    `kept` tells that a shortcut still needs the layer's input afterwards. Tensors of other layers that are
    alive meanwhile are not in `elements`; the layer's own input and output are.
    """
    rows = layer.output_length(height)
    positions = rows * (rows if width == height else layer.output_length(width))
    out, kind, gated = layer.width, layer.kind, layer.gated
    mixes = kind in ("depthwise_separable", "split")  # depthwise first, so a pointwise layer follows
    middle = channels if mixes else out  # channels after the first convolution
    passed = 0  # channels that no convolution of a split touches
    if kind == "split":
        weights, passed = _split_weights(layer, channels)
    else:
        groups = channels if mixes else layer.group_count(channels)
        weights = layer.kernel * layer.kernel * channels * middle // groups
    macs = weights * (height * width if kind == "transposed" else positions)
    pointwise = 2 * middle * out + out * out if gated else middle * out if mixes else 0
    params = weights + pointwise
    macs += pointwise * positions
    if layer.norm == "none":  # then every convolution has a bias
        params += middle - passed + (3 * out if gated else out if mixes else 0)
    elif layer.order == "norm-act-conv":
        params += 2 * (channels + middle if pointwise else channels)
    else:
        params += 2 * (middle + out if pointwise else out)
    if layer.squeeze_excite:
        hidden = squeeze_width(layer)
        params += 2 * out * hidden + hidden + out
        macs += 2 * out * hidden
    inputs = channels * height * width
    sizes = (inputs, middle * positions, out * positions, passed * positions)
    return Costs(params, macs, _peak(layer, *sizes, bool(pointwise), inputs if kept else 0))


def output_costs(output: OutputSpec, channels: int, height: int, width: int, classes: int) -> Costs:
    """Return what the output costs on a map of `channels` x `height` x `width`."""
    positions = height * width
    weights = channels * classes
    params = weights + classes + (0 if output.norm == "none" else 2 * channels)
    inputs = channels * positions
    copies = 2 * inputs if output.norm != "none" or output.activation != "none" else 0
    if output.kind == "conv-gap":
        return Costs(
            params, weights * positions, max(copies, inputs + classes * positions, classes * (positions + 1))
        )
    return Costs(params, weights, max(copies, inputs + channels, channels + classes))


def _split_weights(layer: LayerSpec, channels: int) -> tuple[int, int]:
    """Return the weights of a split's branches and how many channels pass through untouched."""
    weights = passed = 0
    for share, branch in zip(divide(channels, len(layer.branches)), layer.branches, strict=True):
        if branch.kernel == 1:
            passed += share
        else:
            weights += share * branch.kernel * branch.kernel
    return weights, passed


def _peak(
    layer: LayerSpec, inputs: int, middle: int, out: int, passed: int, pointwise: bool, base: int
) -> int:
    """Return the most elements alive at once: tensors of these sizes, `base` of them kept for a shortcut."""
    norm, act, first = layer.norm != "none", layer.activation != "none", layer.order == "norm-act-conv"
    in_place = layer.activation == "relu" and layer.norm != "layer"
    writes = norm or (
        act and not in_place
    )  # a norm or an activation makes a second tensor of a convolution's size
    peaks = [2 * out + base] if layer.residual or (writes and not first) else []
    before = 0  # what is alive beside the tensor that the first convolution reads
    if first and (norm or act):
        peaks.append(2 * inputs + (base if norm and act and not in_place else 0))
        before = base
    if layer.kind == "split":
        source = inputs if passed or (base and not before) else 0
        peaks += [inputs + middle - passed + before, 2 * middle - passed + source + before]
    else:
        peaks.append(inputs + middle + before)
    if pointwise:
        silent = layer.gated
        if norm or (act and not in_place and not silent):
            peaks.append(2 * middle + base)
        if silent:
            peaks += [middle + 2 * out + base, (4 if act else 3) * out + base]
        else:
            peaks.append(middle + out + base)
    if layer.squeeze_excite:
        peaks.append(2 * out + layer.width + base)
    return max(peaks)
