"""`transposed`: a transposed convolution of stride 1, dilated or not, or of 2, which doubles the map."""

from __future__ import annotations

from ..hulls import Hulls, transposed_window
from ..layers import LayerSpec
from ..units import Call, Unit, window_keywords
from .kind import Kind


class Transposed(Kind):
    """One transposed convolution."""

    name = "transposed"
    upsamples = True

    def problem(self, layer: LayerSpec) -> str | None:
        """Refuse a stride above 2, and one of 2 that leaves outputs without an input."""
        if layer.stride > 2:
            return f"stride must be 1 (dilated) or 2 (up-sampling), but got stride={layer.stride}"
        if layer.stride == 2 and (layer.kernel < 2 or layer.dilation % 2 == 0):
            return (
                "up-sampling by 2 needs kernel >= 2 and odd dilation (else half of the outputs see nothing), "
                f"but got kernel={layer.kernel}, dilation={layer.dilation}"
            )
        return None

    def output_length(self, layer: LayerSpec, length: int) -> int:
        """Return (length - 1) * stride - 2 * padding + dilation * (kernel - 1) + output padding + 1."""
        reach = layer.dilation * (layer.kernel - 1)
        return (length - 1) * layer.stride - 2 * layer.pad + reach + output_padding(layer) + 1

    def first_weights(self, layer: LayerSpec, channels: int) -> int:
        """Return kernel * kernel * input channels * width / groups."""
        return layer.kernel * layer.kernel * channels * layer.width // layer.group_count(channels)

    def first_macs(self, weights: int, inputs: int, outputs: int) -> int:
        """Count every weight once for each input position, which is where it is used."""
        return weights * inputs

    def reads(self, layer: LayerSpec) -> tuple[int, int]:
        """Return the two sides of a convolution with the same padding, exchanged (stride 1)."""
        reach = layer.dilation * (layer.kernel - 1)
        behind = reach // 2 if layer.padding is None else layer.padding
        return reach - behind, behind

    def through(self, field: Hulls, layer: LayerSpec) -> Hulls:
        """Return the field after one transposed window; stride 2 doubles the phases."""
        return transposed_window(field, layer.kernel, layer.stride, layer.pad, layer.dilation)

    def first_unit(self, layer: LayerSpec, channels: int) -> Unit:
        """Return an `nn.ConvTranspose2d`."""
        keywords = window_keywords(layer, layer.group_count(channels), output_padding(layer))
        call = Call("nn.ConvTranspose2d", (channels, layer.width, layer.kernel), keywords)
        return Unit("conv", call, channels, layer.width)


def output_padding(layer: LayerSpec) -> int:
    """Return the extra rows of a stride-2 layer, chosen so that the map doubles exactly."""
    return 1 if layer.stride == 2 and layer.dilation * (layer.kernel - 1) % 2 == 0 else 0
