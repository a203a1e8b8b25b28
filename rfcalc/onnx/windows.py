"""ONNX's operators with windows: convolutions, pooling, padding, resizing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

Attributes = Mapping[str, Any]
Inputs = Sequence[Any]


class UnknownOperatorError(Exception):
    """An operator, or a form of it, that has no counterpart here."""


def ints(value: Any) -> list[int]:
    """Return numbers of any kind as Python's."""
    return [int(each) for each in value]


def axes_of(inputs: Inputs, a: Attributes, place: int = 1) -> list[int] | None:
    """Return the axes, an attribute in old opsets and an input in new ones."""
    if "axes" in a:
        return ints(a["axes"])
    return ints(inputs[place]) if len(inputs) > place and inputs[place] is not None else None


def _spatial(x: Tensor) -> int:
    return x.ndim - 2


def _pads(
    x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], a: Attributes
) -> list[int]:
    """Return the padding as ONNX writes it: before each axis, then behind each."""
    mode = a.get("auto_pad", b"NOTSET").decode()
    if mode in ("NOTSET", ""):
        return ints(a.get("pads", [0] * 2 * _spatial(x)))
    before, behind = [], []
    for length, taps, stride, step in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        # SAME: ceil(length / stride) outputs; the odd row is behind (UPPER) or before (LOWER).
        total = max(0, (-(-length // stride) - 1) * stride + (taps - 1) * step + 1 - length)
        first = 0 if mode == "VALID" else total // 2 if mode == "SAME_UPPER" else total - total // 2
        before.append(first)
        behind.append(0 if mode == "VALID" else total - first)
    return before + behind


def _padded(x: Tensor, pads: Sequence[int], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """Return the input and the symmetric padding that is left to the operator itself."""
    axes = len(pads) // 2
    before, behind = list(pads[:axes]), list(pads[axes:])
    if before == behind:
        return x, before
    flat = [length for pair in zip(reversed(before), reversed(behind), strict=True) for length in pair]
    return F.pad(x, flat, value=value), [0] * axes


_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolution(inputs: Inputs, a: Attributes) -> Tensor:
    """Return Conv of 1, 2 or 3 axes."""
    x, weight, bias = (*inputs, None)[:3]
    ones = [1] * _spatial(x)
    strides, dilations = ints(a.get("strides", ones)), ints(a.get("dilations", ones))
    x, padding = _padded(x, _pads(x, weight.shape[2:], strides, dilations, a))
    return _CONVOLUTIONS[_spatial(x)](x, weight, bias, strides, padding, dilations, a.get("group", 1))


def transposed(inputs: Inputs, a: Attributes) -> Tensor:
    """Return ConvTranspose.

    Raises:
        UnknownOperatorError: Its padding is computed or not the same on both sides.
    """
    x, weight, bias = (*inputs, None)[:3]
    axes = _spatial(x)
    ones = [1] * axes
    pads = ints(a.get("pads", [0] * 2 * axes))
    if (
        "output_shape" in a
        or a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"")
        or pads[:axes] != pads[axes:]
    ):
        raise UnknownOperatorError("padding that is not the same on both sides, or computed")
    extra = ints(a.get("output_padding", [0] * axes))
    strides, dilations = ints(a.get("strides", ones)), ints(a.get("dilations", ones))
    return _TRANSPOSED[axes](x, weight, bias, strides, pads[:axes], extra, a.get("group", 1), dilations)


def max_pool(inputs: Inputs, a: Attributes) -> Tensor:
    """Return MaxPool."""
    x, ones = inputs[0], [1] * _spatial(inputs[0])
    kernel, strides = ints(a["kernel_shape"]), ints(a.get("strides", ones))
    dilations = ints(a.get("dilations", ones))
    x, padding = _padded(x, _pads(x, kernel, strides, dilations, a), float("-inf"))
    pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[_spatial(x)]
    found: Tensor = pool(x, kernel, strides, padding, dilations, bool(a.get("ceil_mode", 0)))
    return found


def average_pool(inputs: Inputs, a: Attributes) -> Tensor:
    """Return AveragePool."""
    x, ones = inputs[0], [1] * _spatial(inputs[0])
    kernel, strides = ints(a["kernel_shape"]), ints(a.get("strides", ones))
    if ints(a.get("dilations", ones)) != ones:
        raise UnknownOperatorError("a dilated average pooling")
    # Where zeros that are not counted lie on one side alone, values are scaled otherwise, not the field.
    x, padding = _padded(x, _pads(x, kernel, strides, ones, a))
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[_spatial(x)]
    counted = bool(a.get("count_include_pad", 0))
    return pool(x, kernel, strides, padding, bool(a.get("ceil_mode", 0)), counted)


def pad(inputs: Inputs, a: Attributes) -> Tensor:
    """Return Pad, by zeros, a reflection, the edge or the other side."""
    x = inputs[0]
    pads = ints(a["pads"] if "pads" in a else inputs[1])
    axes = axes_of(inputs, a, 3)
    if axes is not None:
        half, full = len(axes), [0] * 2 * x.ndim
        for place, axis in enumerate(axes):
            full[axis % x.ndim], full[x.ndim + axis % x.ndim] = pads[place], pads[half + place]
        pads = full
    mode = {b"constant": "constant", b"reflect": "reflect", b"edge": "replicate", b"wrap": "circular"}[
        a.get("mode", b"constant")
    ]
    pairs = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
    while pairs and pairs[0] == (0, 0):  # axes in front that are not padded
        pairs = pairs[1:]
    flat = [length for pair in reversed(pairs) for length in pair]
    return F.pad(x, flat, mode) if flat else x


def resize(inputs: Inputs, a: Attributes) -> Tensor:
    """Return Resize or Upsample.

    Raises:
        UnknownOperatorError: Its mode has no counterpart.
    """
    x, _, scales, sizes = (*inputs, None, None, None)[:4]
    if len(inputs) == 2:  # Upsample, and Resize of opset 10
        scales, sizes = inputs[1], None
    mode = a.get("mode", b"nearest").decode()
    names = {
        ("linear", 1): "linear",
        ("linear", 2): "bilinear",
        ("linear", 3): "trilinear",
        ("cubic", 2): "bicubic",
    }
    kind = "nearest" if mode == "nearest" else names.get((mode, _spatial(x)))
    if kind is None:
        raise UnknownOperatorError(f"a resize by {mode}")
    corners = a.get("coordinate_transformation_mode", b"half_pixel") == b"align_corners"
    align = {} if kind == "nearest" else {"align_corners": corners}
    if sizes is not None and len(sizes):
        return F.interpolate(x, size=ints(sizes)[2:], mode=kind, **align)
    factors = [float(each) for each in a.get("scales", scales)][2:]
    return F.interpolate(x, scale_factor=factors, mode=kind, **align)
