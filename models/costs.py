"""Parameters, MACs and activation memory of one layer in closed form.

MACs: multiply-accumulates of convolutions and linear layers for one image; biases, norms and pooling are not
counted, and a transposed convolution counts by input positions, as `torch.utils.flop_counter` does. Memory:
elements of the tensors alive at once while the layer runs in eval mode, where dropout does nothing, a ReLU on
a fresh tensor works in place and every other step writes a new tensor. A norm's statistics, which nothing
reads, are left out, as rfcalc does.
"""

from __future__ import annotations

from .layers import LayerSpec, OutputSpec

MIXING = ("depthwise_separable", "split")
"""Kinds whose first convolution is depthwise, so that a pointwise layer mixes the channels."""


def divide(channels: int, branches: int) -> list[int]:
    """Divide channels over branches as evenly as possible; the first branches get what is left over."""
    share, left = divmod(channels, branches)
    return [share + (number < left) for number in range(branches)]


def squeeze_width(layer: LayerSpec) -> int:
    """Return the hidden units of a layer's squeeze-excite gate."""
    return max(1, layer.width // layer.squeeze_excite)


def layer_weights(layer: LayerSpec, channels: int) -> tuple[int, int]:
    """Return the weights of a layer's first convolution, and those of the 1x1 convolutions that follow it."""
    out, kind = layer.width, layer.kind
    middle = channels if kind in MIXING else out
    mixing = middle * out if kind in MIXING else 0
    pointwise = 2 * middle * out + out * out if layer.gated else mixing
    if kind == "depthwise_separable":
        return layer.kernel * layer.kernel * channels, pointwise
    if kind == "split":
        taps, (share, left) = 0, divmod(channels, len(layer.branches))
        for number, branch in enumerate(layer.branches):  # `divide` without its list, for searches
            if branch.kernel > 1:
                taps += (share + (number < left)) * branch.kernel * branch.kernel
        return taps, pointwise
    return layer.kernel * layer.kernel * channels * out // layer.group_count(channels), pointwise


def layer_params(layer: LayerSpec, channels: int, weights: tuple[int, int]) -> int:
    """Return the parameters of a layer that reads `channels` channels and has these `layer_weights`."""
    out, mixes, gated = layer.width, layer.kind in MIXING, layer.gated
    middle = channels if mixes else out  # channels after the first convolution
    params = weights[0] + weights[1]
    if layer.norm == "none":  # then every convolution has a bias
        params += middle - passed_channels(layer, channels) + (3 * out if gated else out if mixes else 0)
    elif layer.order == "norm-act-conv":
        params += 2 * (channels + middle if mixes or gated else channels)
    else:
        params += 2 * (middle + out if mixes or gated else out)
    if layer.squeeze_excite:
        hidden = squeeze_width(layer)
        params += 2 * out * hidden + hidden + out
    return params


def layer_macs(layer: LayerSpec, inputs: int, outputs: int, weights: tuple[int, int]) -> int:
    """Return the MACs of a layer with these `layer_weights` that maps `inputs` positions to `outputs`."""
    first, pointwise = weights
    macs = (first + pointwise) * outputs
    if layer.kind == "transposed":
        macs += first * (inputs - outputs)
    if layer.squeeze_excite:
        macs += 2 * layer.width * squeeze_width(layer)
    return macs


def passed_channels(layer: LayerSpec, channels: int) -> int:
    """Return how many channels no convolution of a split touches."""
    if layer.kind != "split":
        return 0
    shares = zip(divide(channels, len(layer.branches)), layer.branches, strict=True)
    return sum(share for share, branch in shares if branch.kernel == 1)


def layer_elements(layer: LayerSpec, channels: int, inputs: int, outputs: int, kept: bool) -> int:
    """Return the most activation elements alive at once while a layer runs, its input and output included.

    Args:
        layer: The layer.
        channels: Channels that it reads.
        inputs: Positions of the map that it reads.
        outputs: Positions of the map that it returns.
        kept: Whether a shortcut still needs the layer's input after its first step.
    """
    source = channels * inputs
    out = layer.width * outputs
    middle = channels * outputs if layer.kind in MIXING else out
    base = source if kept else 0
    norm, act, first = layer.norm != "none", layer.activation != "none", layer.order == "norm-act-conv"
    copies = act and not (layer.activation == "relu" and layer.norm != "layer")  # else it works in place
    peak = 2 * out + base if layer.residual or (not first and (norm or copies)) else 0
    beside = 0  # what is alive beside the tensor that the first convolution reads
    if first and (norm or act):
        peak = max(peak, 2 * source + (base if norm and copies else 0))
        beside = base
    if layer.kind == "split":
        passed = passed_channels(layer, channels) * outputs
        read = source if passed or (kept and not beside) else 0
        peak = max(peak, source + middle - passed + beside, 2 * middle - passed + read + beside)
    else:
        peak = max(peak, source + middle + beside)
    if layer.kind in MIXING or layer.gated:
        if norm or (copies and not layer.gated):
            peak = max(peak, 2 * middle + base)
        if layer.gated:
            peak = max(peak, middle + 2 * out + base, (4 if act else 3) * out + base)
        else:
            peak = max(peak, middle + out + base)
    if layer.squeeze_excite:
        peak = max(peak, 2 * out + layer.width + base)
    return peak


def output_params(output: OutputSpec, channels: int, classes: int) -> int:
    """Return the parameters of an output that reads `channels` channels."""
    return channels * classes + classes + (0 if output.norm == "none" else 2 * channels)


def output_macs(output: OutputSpec, channels: int, positions: int, classes: int) -> int:
    """Return the MACs of an output on a map of `positions` positions."""
    return channels * classes * (positions if output.kind == "conv-gap" else 1)


def output_elements(output: OutputSpec, channels: int, positions: int, classes: int) -> int:
    """Return the most activation elements alive at once while an output runs."""
    source = channels * positions
    copies = 2 * source if output.norm != "none" or output.activation != "none" else 0
    if output.kind == "conv-gap":
        return max(copies, source + classes * positions, classes * (positions + 1))
    return max(copies, source + channels, channels + classes)
