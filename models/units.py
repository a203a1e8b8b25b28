"""What a kind of layer constructs, as data: a call, and a convolution with its channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .layers import LayerSpec

ACTIVATION_MODULES = {
    "relu": "nn.ReLU",
    "relu6": "nn.ReLU6",
    "silu": "nn.SiLU",
    "gelu": "nn.GELU",
    "hardswish": "nn.Hardswish",
}
NORM_MODULES = {"batch": "nn.BatchNorm2d", "layer": "ChannelNorm"}


@dataclass(frozen=True)
class Call:
    """`name(*args, **kwargs)`; an argument may be a call itself."""

    name: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """One convolution of a layer, with the channels that it reads and returns.

    Attributes:
        name: Its name among the layer's steps.
        call: What constructs it.
        inputs: Channels that it reads.
        outputs: Channels that it returns.
    """

    name: str
    call: Call
    inputs: int
    outputs: int


def window_keywords(layer: LayerSpec, groups: int, output_padding: int = 0) -> dict[str, object]:
    """Return the keywords of a convolution that differ from torch's defaults, and whether it has a bias."""
    values = {"stride": layer.stride, "padding": layer.pad, "dilation": layer.dilation, "groups": groups}
    values["output_padding"] = output_padding
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
    keywords: dict[str, object] = {key: value for key, value in values.items() if value != defaults[key]}
    return keywords | {"bias": layer.norm == "none"}


def activation(layer: LayerSpec, fresh: bool) -> Call:
    """Return the layer's activation.

    Args:
        layer: The layer.
        fresh: Whether nothing else reads the tensor: a ReLU then works in place, for time and memory.
    """
    if layer.activation == "none":
        return Call("nn.Identity")
    in_place = layer.activation == "relu" and fresh and layer.norm != "layer"
    return Call(ACTIVATION_MODULES[layer.activation], (), {"inplace": True} if in_place else {})
