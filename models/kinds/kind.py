"""What every kind of layer answers, and the arithmetic of the options that all kinds share.

A layer is its kind's first convolution, then what the options add: a 1x1 convolution or a gate that mixes the
channels, norms, activations, squeeze-excite, dropout, a shortcut. A kind is one stateless object; its methods
take the layer and what the layer reads, so that a search measures specs without building an object a layer.

Conventions. MACs: multiply-accumulates of convolutions and linear layers for one image; biases, norms and
pooling are not counted, and a transposed convolution counts by input positions, as `torch.utils.flop_counter`
does. Memory: elements of the tensors alive at once while the layer runs in eval mode, where dropout does
nothing, a ReLU on a fresh tensor works in place and every other step writes a new tensor. The statistics of a
norm, which nothing reads, are left out, as rfcalc does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from ..hulls import Hulls
from ..layers import LayerSpec
from ..units import Call, Unit, activation

Weights = tuple[int, int]
"""Weights of a layer's first convolution, and of the 1x1 convolutions after it."""


class Kind(ABC):
    """A kind of layer.

    Attributes:
        name: The value of `kind` in a spec.
        mixes: Whether a 1x1 convolution always follows the first one, because that one is depthwise.
        grouped: Whether the layer takes `groups`.
        branched: Whether the layer takes `branches`.
        upsamples: Whether `stride` multiplies the map's sides instead of dividing them.
    """

    name: ClassVar[str]
    mixes: ClassVar[bool] = False
    grouped: ClassVar[bool] = True
    branched: ClassVar[bool] = False
    upsamples: ClassVar[bool] = False

    # What each kind defines.

    @abstractmethod
    def problem(self, layer: LayerSpec) -> str | None:
        """Return the rule of this kind that a layer breaks, with the value, or None."""

    @abstractmethod
    def output_length(self, layer: LayerSpec, length: int) -> int:
        """Return the rows (or columns) of the layer's output for `length` rows of input."""

    @abstractmethod
    def first_weights(self, layer: LayerSpec, channels: int) -> int:
        """Return the weights of the first convolution, which reads `channels` channels."""

    @abstractmethod
    def reads(self, layer: LayerSpec) -> tuple[int, int]:
        """Return how many input positions an output sees before and behind its own place.

        The place of output o is the input o * stride. This is the short way for layers without phases, that
        is for all but transposed layers of stride 2, which have `through` alone.
        """

    @abstractmethod
    def through(self, field: Hulls, layer: LayerSpec) -> Hulls:
        """Return what the layer's outputs see where its inputs see `field`, its shortcut left out."""

    @abstractmethod
    def first_unit(self, layer: LayerSpec, channels: int) -> Unit:
        """Return the first convolution as the call that constructs it."""

    # What most kinds share.

    def channel_problem(self, layer: LayerSpec, channels: int) -> str | None:
        """Return the rule that a layer which reads `channels` channels breaks because of them, or None."""
        if layer.groups == 1:
            return None
        if layer.groups == "depthwise":
            if layer.width != channels:
                got = f"width={layer.width} for {channels} of them"
                return f"a depthwise layer keeps its channels, but got {got}"
        elif channels % int(layer.groups) or layer.width % int(layer.groups):
            return (
                f"groups must divide the input channels and the width, but got groups={layer.groups}, "
                f"{channels} input channels, width={layer.width}"
            )
        return None

    def is_depthwise(self, layer: LayerSpec, channels: int) -> bool:
        """Tell whether the first convolution is one depthwise convolution with a kernel above 1."""
        return False

    def is_pointwise(self, layer: LayerSpec, channels: int) -> bool:
        """Tell whether the first convolution is a 1x1 that mixes all channels."""
        return False

    def dilated(self, layer: LayerSpec) -> int:
        """Return how many convolutions of the layer have dilation > 1 and kernel > 1."""
        return int(layer.dilation > 1 and layer.kernel > 1)

    def passed_channels(self, layer: LayerSpec, channels: int) -> int:
        """Return how many of the `channels` channels no convolution touches."""
        return 0

    def first_macs(self, weights: int, inputs: int, outputs: int) -> int:
        """Return the MACs of the first convolution from its weights and the positions of both maps."""
        return weights * outputs

    def first_elements(
        self, layer: LayerSpec, channels: int, inputs: int, outputs: int, kept: bool, beside: int
    ) -> int:
        """Return the most elements alive while the first convolution runs.

        Args:
            layer: The layer.
            channels: Channels that it reads.
            inputs: Positions of the map that it reads.
            outputs: Positions of the map that it returns.
            kept: Whether the first convolution reads the layer's own input, which a shortcut needs later.
            beside: Elements alive beside what the first convolution reads and writes.
        """
        return channels * inputs + (channels if self.mixes else layer.width) * outputs + beside

    # The arithmetic of the options.

    def weights(self, layer: LayerSpec, channels: int) -> Weights:
        """Return the weights of the layer's convolutions, which reads `channels` channels."""
        width = layer.width
        if layer.gated:  # 1x1 to twice the width, then 1x1 to the width
            return self.first_weights(layer, channels), (
                2 * (channels if self.mixes else width) * width + width * width
            )
        return self.first_weights(layer, channels), channels * width if self.mixes else 0

    def params(self, layer: LayerSpec, channels: int, weights: Weights) -> int:
        """Return the parameters of a layer that reads `channels` channels and has these `weights`."""
        out, mixes, gated = layer.width, self.mixes, layer.gated
        middle = channels if mixes else out  # channels after the first convolution
        params = weights[0] + weights[1]
        if layer.norm == "none":  # then every convolution has a bias
            pointwise = 3 * out if gated else out if mixes else 0
            params += middle - self.passed_channels(layer, channels) + pointwise
        elif layer.order == "norm-act-conv":
            params += 2 * (channels + middle if mixes or gated else channels)
        else:
            params += 2 * (middle + out if mixes or gated else out)
        if layer.squeeze_excite:
            hidden = layer.squeeze_width
            params += 2 * out * hidden + hidden + out
        return params

    def macs(self, layer: LayerSpec, inputs: int, outputs: int, weights: Weights) -> int:
        """Return the MACs of a layer with these `weights` that maps `inputs` positions to `outputs`."""
        macs = self.first_macs(weights[0], inputs, outputs) + weights[1] * outputs
        if layer.squeeze_excite:
            macs += 2 * layer.width * layer.squeeze_width
        return macs

    def elements(self, layer: LayerSpec, channels: int, inputs: int, outputs: int, kept: bool) -> int:
        """Return the most activation elements alive at once while a layer runs, input and output included.

        A worked case: a 3x3 conv with batch norm and ReLU from 3 to 16 channels on 32x32, no shortcut. The
        convolution holds 3 * 1024 + 16 * 1024 = 19,456 elements, the norm two maps of 16 * 1024, that is
        32,768; the ReLU works in place. The layer needs 32,768.

        Args:
            layer: The layer.
            channels: Channels that it reads.
            inputs: Positions of the map that it reads.
            outputs: Positions of the map that it returns.
            kept: Whether a shortcut still needs the layer's input after its first step.
        """
        source = channels * inputs
        out = layer.width * outputs
        base = source if kept else 0
        norm, act, first = layer.norm != "none", layer.activation != "none", layer.order == "norm-act-conv"
        copies = act and not (layer.activation == "relu" and layer.norm != "layer")  # else it works in place
        # A step that writes a new tensor holds two of the layer's maps; so does the sum with a shortcut.
        peak = 2 * out + base if layer.residual or (not first and (norm or copies)) else 0
        beside = 0  # what is alive beside the tensor that the first convolution reads
        if first and (norm or act):
            peak = max(peak, 2 * source + (base if norm and copies else 0))
            beside = base
        peak = max(peak, self.first_elements(layer, channels, inputs, outputs, kept and not beside, beside))
        if self.mixes or layer.gated:
            middle = channels * outputs if self.mixes else out
            if norm or (copies and not layer.gated):
                peak = max(peak, 2 * middle + base)
            if layer.gated:  # the doubled map and its product; with an activation, a copy of one half too
                peak = max(peak, middle + 2 * out + base, (4 if act else 3) * out + base)
            else:
                peak = max(peak, middle + out + base)
        if layer.squeeze_excite:
            peak = max(peak, 2 * out + layer.width + base)
        return peak

    def pairs(self, layer: LayerSpec, channels: int, pending: bool) -> tuple[int, bool]:
        """Return how many depthwise-separable pairs a layer completes, and whether its output waits for one.

        Args:
            layer: The layer.
            channels: Channels that it reads.
            pending: Whether its input is a normed, activated, gated copy of a depthwise convolution's result.
        """
        if not self.is_depthwise(layer, channels):
            return int(pending and self.is_pointwise(layer, channels)), False
        if self.mixes or layer.gated:  # a 1x1 follows inside the layer
            return 1, False
        return 0, not layer.residual

    def units(self, layer: LayerSpec, channels: int) -> list[Unit]:
        """Return the convolutions of a layer that reads `channels` channels, in the order of execution."""
        units = [self.first_unit(layer, channels)]
        inputs, width = channels if self.mixes else layer.width, layer.width
        bias = {"bias": layer.norm == "none"}
        if layer.gated:
            gate = Call("GatedPointwise", (inputs, width, activation(layer, False)), bias)
            units.append(Unit("pointwise", gate, inputs, width))
        elif self.mixes:
            units.append(Unit("pointwise", Call("nn.Conv2d", (inputs, width, 1), bias), inputs, width))
        return units
