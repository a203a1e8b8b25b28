"""What a spec takes in the flash of a microcontroller as int8, from closed forms. No torch.

The C code of `python -m export` folds every batch norm into the convolution whose result it alone reads;
where there is none, a norm is a depthwise 1x1 convolution. An output channel has a bias of 4 bytes and a
multiplier with its shift of 5. An activation that is no clamp of a convolution or a sum is a table of 256
bytes. The code itself, some kB, depends on the compiler and is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from .calls import net_calls
from .spec import NetSpec
from .units import Call

BIAS_BYTES, MULTIPLIER_BYTES, TABLE_BYTES = 4, 5, 256
PIXEL_TABLES = 3
"""Tables that normalise a pixel, one a channel of the image."""
_CLAMPS = ("nn.ReLU", "nn.ReLU6")


@dataclass(frozen=True, slots=True)
class Flash:
    """The constants of a network in int8, in bytes."""

    weights: int
    biases: int
    multipliers: int
    tables: int

    @classmethod
    def of(cls, weights: int, channels: int, tables: int) -> Flash:
        """Return the bytes of convolutions and tables.

        Args:
            weights: Of all convolutions and linear layers, with folded norms.
            channels: Output channels of all of them.
            tables: Tables of activations.
        """
        return cls(
            weights, BIAS_BYTES * channels, MULTIPLIER_BYTES * channels, TABLE_BYTES * (PIXEL_TABLES + tables)
        )

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.biases + self.multipliers + self.tables


def flash(spec: NetSpec) -> Flash | None:
    """Return the flash that a spec takes; None where it has no int8 form, because a layer norm is in it.

    Tables that happen to be equal are stored once: `tables` is what they take at most, all else is exact.
    """
    count = _Count()
    for call in net_calls(spec).values():
        layers = call.args if call.name == "Stage" else (call,)
        _stage(count, cast("tuple[Call, ...]", layers))
    return None if count.impossible else Flash.of(count.weights, count.channels, count.tables)


def _stage(count: _Count, layers: tuple[Call, ...]) -> None:
    spans = [cast(int, layer.kwargs.get("residual", 0)) for layer in layers]
    held = {end + 1 - span for end, span in enumerate(spans) if span}
    for index, layer in enumerate(layers):
        if index in held:  # a shortcut reads it too: nothing may be folded into what computes it
            count.last = ""
        count.layer(layer.kwargs)


class _Count:
    """Goes through the steps of a network in order.

    Attributes:
        last: What computes the current value, if nothing else reads it: "conv", "add", or "" for all others.
    """

    def __init__(self) -> None:
        self.weights = self.channels = self.tables = 0
        self.impossible = False
        self.last = ""

    def layer(self, steps: Mapping[str, object]) -> None:
        for name, step in steps.items():
            if name not in ("residual", "act"):
                self._step(cast(Call, step))
        if steps.get("residual"):
            self.last = "add"
        if "act" in steps:
            self._step(cast(Call, steps["act"]))

    def _step(self, step: Call) -> None:
        arguments: Any = step.args
        match step.name:
            case "nn.Conv2d" | "nn.ConvTranspose2d":
                inputs, outputs, kernel = arguments
                groups = cast(int, step.kwargs.get("groups", 1))
                self._convolution(inputs * outputs * kernel * kernel // groups, outputs)
            case "nn.Linear":
                self._convolution(arguments[0] * arguments[1], arguments[1])
            case "nn.BatchNorm2d":
                if self.last != "conv":
                    self._convolution(arguments[0], arguments[0])
            case "ChannelNorm":
                self.impossible = True
            case "SplitDepthwise":
                for channels, kernel, _ in arguments:
                    if kernel > 1:
                        self._convolution(channels * kernel * kernel, channels)
                self.last = ""  # concatenated
            case "GatedPointwise":
                inputs, width, activation = arguments
                self._convolution(inputs * 2 * width, 2 * width)
                self.last = ""  # halved, so that even a ReLU is a table
                self._step(activation)
                self._convolution(width * width, width)
            case "SqueezeExcite":
                width, hidden = arguments
                self._convolution(width * hidden, hidden)
                self._convolution(hidden * width, width)
                self.tables += 1  # the sigmoid
                self.last = ""
            case "nn.Identity" | "nn.Dropout" | "nn.Flatten":
                pass
            case "nn.AdaptiveAvgPool2d":
                self.last = ""
            case _:  # an activation
                self.tables += not (step.name in _CLAMPS and self.last)
                self.last = ""

    def _convolution(self, weights: int, channels: int) -> None:
        self.weights += weights
        self.channels += channels
        self.last = "conv"
