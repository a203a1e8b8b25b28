"""`conv`: one convolution, plain, grouped or depthwise; `dilated`: the same with dilation above 1."""

from __future__ import annotations

from ..hulls import Hulls, window
from ..layers import LayerSpec
from ..units import Call, Unit, window_keywords
from .kind import Kind


class Convolution(Kind):
    """One convolution with dilation 1."""

    name = "conv"

    def problem(self, layer: LayerSpec) -> str | None:
        """Refuse a dilation, which kind "dilated" has."""
        if layer.dilation != 1:
            return f"a conv has dilation 1 (kind 'dilated' has others), but got dilation={layer.dilation}"
        return None

    def output_length(self, layer: LayerSpec, length: int) -> int:
        """Return floor((length + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1."""
        return (length + 2 * layer.pad - layer.dilation * (layer.kernel - 1) - 1) // layer.stride + 1

    def first_weights(self, layer: LayerSpec, channels: int) -> int:
        """Return kernel * kernel * input channels * width / groups."""
        return layer.kernel * layer.kernel * channels * layer.width // layer.group_count(channels)

    def reads(self, layer: LayerSpec) -> tuple[int, int]:
        """Return the padding, and what is left of dilation * (kernel - 1)."""
        reach = layer.dilation * (layer.kernel - 1)
        before = reach // 2 if layer.padding is None else layer.padding
        return before, reach - before

    def through(self, field: Hulls, layer: LayerSpec) -> Hulls:
        """Return the field after one window."""
        return window(field, layer.kernel, layer.stride, layer.pad, layer.dilation)

    def first_unit(self, layer: LayerSpec, channels: int) -> Unit:
        """Return an `nn.Conv2d`."""
        keywords = window_keywords(layer, layer.group_count(channels))
        return Unit(
            "conv", Call("nn.Conv2d", (channels, layer.width, layer.kernel), keywords), channels, layer.width
        )

    def is_depthwise(self, layer: LayerSpec, channels: int) -> bool:
        """Tell whether there is a group for each of several channels and a kernel above 1."""
        if layer.groups == 1:  # the usual case, first: a single channel is no depthwise convolution either
            return False
        return layer.kernel > 1 and channels > 1 and layer.group_count(channels) == channels

    def is_pointwise(self, layer: LayerSpec, channels: int) -> bool:
        """Tell whether it is a 1x1 over all channels."""
        return layer.kernel == 1 and layer.group_count(channels) == 1


class Dilated(Convolution):
    """One convolution with dilation above 1."""

    name = "dilated"

    def problem(self, layer: LayerSpec) -> str | None:
        """Refuse what has no dilation: a step of 1, or a kernel of 1."""
        if layer.dilation < 2 or layer.kernel < 2:
            return (
                "dilation and kernel must be at least 2, but got "
                f"dilation={layer.dilation}, kernel={layer.kernel}"
            )
        return None

    def is_pointwise(self, layer: LayerSpec, channels: int) -> bool:
        """Tell that it is never a 1x1."""
        return False
