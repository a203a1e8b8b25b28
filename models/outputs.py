"""The two outputs of the grammar, from the last features to the class scores: one class each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from .layers import OutputSpec
from .units import ACTIVATION_MODULES, NORM_MODULES, Call

_POOL = {"pool": Call("nn.AdaptiveAvgPool2d", (1,)), "flatten": Call("nn.Flatten")}


class Output(ABC):
    """A kind of output; all of them average the whole map and have channels * classes weights and a bias.

    Attributes:
        name: The value of `kind` in a spec's `output`.
        pointwise: Whether the weights are a 1x1 convolution on the map itself.
    """

    name: ClassVar[str]
    pointwise: ClassVar[bool]

    @abstractmethod
    def macs(self, channels: int, positions: int, classes: int) -> int:
        """Return the MACs on a map of `positions` positions."""

    @abstractmethod
    def elements(self, channels: int, positions: int, classes: int) -> int:
        """Return the most elements alive at once, from the features on."""

    @abstractmethod
    def steps(self, channels: int, classes: int, dropout: dict[str, object]) -> dict[str, object]:
        """Return the calls that construct the steps, `dropout` among them."""


class ConvGap(Output):
    """A 1x1 convolution to the classes, then global average pooling."""

    name = "conv-gap"
    pointwise = True

    def macs(self, channels: int, positions: int, classes: int) -> int:
        """Count the convolution at every position."""
        return channels * classes * positions

    def elements(self, channels: int, positions: int, classes: int) -> int:
        """Return the larger of the convolution (both maps) and the pooling (map and means)."""
        return max(channels * positions + classes * positions, classes * (positions + 1))

    def steps(self, channels: int, classes: int, dropout: dict[str, object]) -> dict[str, object]:
        """Return dropout, convolution, pooling."""
        return dropout | {"conv": Call("nn.Conv2d", (channels, classes, 1))} | _POOL


class GapLinear(Output):
    """Global average pooling, then a linear layer to the classes."""

    name = "gap-linear"
    pointwise = False

    def macs(self, channels: int, positions: int, classes: int) -> int:
        """Count the linear layer once."""
        return channels * classes

    def elements(self, channels: int, positions: int, classes: int) -> int:
        """Return the larger of the pooling (map and means) and the linear layer (means and scores)."""
        return max(channels * positions + channels, channels + classes)

    def steps(self, channels: int, classes: int, dropout: dict[str, object]) -> dict[str, object]:
        """Return pooling, dropout, linear layer."""
        return _POOL | dropout | {"linear": Call("nn.Linear", (channels, classes))}


OUTPUTS: dict[str, Output] = {output.name: output for output in (ConvGap(), GapLinear())}
"""The outputs by name, in the order in which errors list them."""


def output_params(output: OutputSpec, channels: int, classes: int) -> int:
    """Return the parameters of an output that reads `channels` channels."""
    return channels * classes + classes + (0 if output.norm == "none" else 2 * channels)


def output_macs(output: OutputSpec, channels: int, positions: int, classes: int) -> int:
    """Return the MACs of an output on a map of `positions` positions."""
    return OUTPUTS[output.kind].macs(channels, positions, classes)


def output_elements(output: OutputSpec, channels: int, positions: int, classes: int) -> int:
    """Return the most activation elements alive at once while an output runs."""
    copies = 2 * channels * positions if output.norm != "none" or output.activation != "none" else 0
    return max(copies, OUTPUTS[output.kind].elements(channels, positions, classes))


def output_call(output: OutputSpec, channels: int, classes: int) -> Call:
    """Return the call that constructs an output."""
    steps: dict[str, object] = {}
    if output.norm != "none":
        steps["norm"] = Call(NORM_MODULES[output.norm], (channels,))
    if output.activation != "none":
        steps["features_act"] = Call(ACTIVATION_MODULES[output.activation])
    dropout: dict[str, object] = {"dropout": Call("nn.Dropout", (output.dropout,))} if output.dropout else {}
    return Call("Layer", (), steps | OUTPUTS[output.kind].steps(channels, classes, dropout))
