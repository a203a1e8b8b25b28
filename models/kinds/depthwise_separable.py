"""`depthwise_separable`: a depthwise convolution, then a 1x1 convolution to the width."""

from __future__ import annotations

from ..layers import LayerSpec
from ..units import Call, Unit, window_keywords
from .convolution import Convolution


class DepthwiseSeparable(Convolution):
    """A depthwise convolution, which may be dilated, then a 1x1."""

    name = "depthwise_separable"
    mixes = True
    grouped = False

    def problem(self, layer: LayerSpec) -> str | None:
        """Refuse a kernel of 1, which would be two 1x1 layers."""
        if layer.kernel < 2:
            return f"kernel must be at least 2 (a 1x1 layer is kind 'conv'), but got kernel={layer.kernel}"
        return None

    def first_weights(self, layer: LayerSpec, channels: int) -> int:
        """Return kernel * kernel for each channel."""
        return layer.kernel * layer.kernel * channels

    def first_unit(self, layer: LayerSpec, channels: int) -> Unit:
        """Return an `nn.Conv2d` with one group a channel."""
        call = Call("nn.Conv2d", (channels, channels, layer.kernel), window_keywords(layer, channels))
        return Unit("depthwise", call, channels, channels)

    def is_depthwise(self, layer: LayerSpec, channels: int) -> bool:
        """Tell that it is, where there are several channels."""
        return channels > 1

    def is_pointwise(self, layer: LayerSpec, channels: int) -> bool:
        """Tell that a depthwise convolution comes first."""
        return False
