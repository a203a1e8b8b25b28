"""A spec as the calls that construct its modules, in order: what `net` runs and `source` prints.

One lowering for both, so that a standalone file cannot differ from the network that was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .costs import divide, squeeze_width
from .layers import LayerSpec, OutputSpec, StageSpec
from .spec import NetSpec

_ACTIVATIONS = {"relu": "nn.ReLU", "silu": "nn.SiLU", "gelu": "nn.GELU", "hardswish": "nn.Hardswish"}
_NORMS = {"batch": "nn.BatchNorm2d", "layer": "ChannelNorm"}


@dataclass(frozen=True)
class Call:
    """`name(*args, **kwargs)`; an argument may be a call itself."""

    name: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)


def net_calls(spec: NetSpec) -> dict[str, Call]:
    """Return the call that constructs each child of the network: stem, c1 to c4, output."""
    calls = {}
    for (name, stage), shapes in zip(spec.parts(), spec.shapes, strict=True):
        calls[name] = _stage_call(stage, [channels for channels, _, _ in shapes])
    calls["output"] = _output_call(spec.output, spec.shapes[-1][-1][0], spec.classes)
    return calls


def _stage_call(stage: StageSpec, channels: list[int]) -> Call:
    layers = (layer_call(layer, inputs) for layer, inputs in zip(stage.layers, channels, strict=False))
    return Call("Stage", tuple(layers))


def layer_call(layer: LayerSpec, channels: int) -> Call:
    """Return the call that constructs one layer, which reads `channels` channels."""
    steps: dict[str, object] = {}
    units = _units(layer, channels)
    for number, unit in enumerate(units):
        last = number == len(units) - 1
        # The gate is the non-linearity before the pointwise convolution: no activation there.
        silent = layer.gated and last == (layer.order == "norm-act-conv")
        fresh = layer.norm != "none" or number > 0 or layer.order != "norm-act-conv"
        act = {} if silent or layer.activation == "none" else {f"{unit.name}_act": _activation(layer, fresh)}
        norm_width = unit.inputs if layer.order == "norm-act-conv" else unit.outputs
        norm_name = "norm" if last else f"{unit.name}_norm"
        norm = {} if layer.norm == "none" else {norm_name: Call(_NORMS[layer.norm], (norm_width,))}
        if layer.order == "norm-act-conv":
            steps |= norm | act | {unit.name: unit.call}
        elif layer.order == "conv-act-norm":
            steps |= {unit.name: unit.call} | act | norm
        else:  # the last activation closes the layer, after the shortcut
            steps |= {unit.name: unit.call} | norm | ({} if last else act)
    if layer.squeeze_excite:
        steps["squeeze_excite"] = Call("SqueezeExcite", (layer.width, squeeze_width(layer)))
    if layer.dropout:
        steps["dropout"] = Call("nn.Dropout", (layer.dropout,))
    if layer.residual:
        steps["residual"] = int(layer.residual)
    if layer.order == "conv-norm-act" and layer.activation != "none":
        steps["act"] = _activation(layer, True)
    return Call("Layer", (), steps)


@dataclass(frozen=True)
class _Unit:
    """One convolution of a layer, with the channels that it reads and returns."""

    name: str
    call: Call
    inputs: int
    outputs: int


def _units(layer: LayerSpec, channels: int) -> list[_Unit]:
    bias: dict[str, object] = {"bias": layer.norm == "none"}
    width = layer.width
    pointwise = _Unit("pointwise", Call("nn.Conv2d", (channels, width, 1), bias), channels, width)
    if layer.gated:
        inputs = channels if layer.kind in ("depthwise_separable", "split") else width
        gate = Call("GatedPointwise", (inputs, width, _activation(layer, False)), bias)
        pointwise = _Unit("pointwise", gate, inputs, width)
    if layer.kind == "split":
        stride: dict[str, object] = {"stride": layer.stride} if layer.stride > 1 else {}
        sizes = zip(divide(channels, len(layer.branches)), layer.branches, strict=True)
        shares = tuple(
            (share, branch.kernel, branch.dilation if branch.kernel > 1 else 1) for share, branch in sizes
        )
        split = Call("SplitDepthwise", shares, stride | bias)
        return [_Unit("split", split, channels, channels), pointwise]
    if layer.kind == "depthwise_separable":
        depthwise = Call("nn.Conv2d", (channels, channels, layer.kernel), _window(layer, channels) | bias)
        return [_Unit("depthwise", depthwise, channels, channels), pointwise]
    name = "nn.ConvTranspose2d" if layer.kind == "transposed" else "nn.Conv2d"
    window = _window(layer, layer.group_count(channels)) | bias
    convolution = _Unit("conv", Call(name, (channels, width, layer.kernel), window), channels, width)
    return [convolution, pointwise] if layer.gated else [convolution]


def _window(layer: LayerSpec, groups: int) -> dict[str, object]:
    """Return the keywords of a convolution that differ from torch's defaults."""
    values = {"stride": layer.stride, "padding": layer.pad, "dilation": layer.dilation, "groups": groups}
    if layer.kind == "transposed":
        values["output_padding"] = layer.output_padding
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
    return {key: value for key, value in values.items() if value != defaults[key]}


def _activation(layer: LayerSpec, fresh: bool) -> Call:
    """Return the activation; a ReLU works in place on a fresh tensor, which saves time and memory."""
    if layer.activation == "none":
        return Call("nn.Identity")
    in_place = layer.activation == "relu" and fresh and layer.norm != "layer"
    return Call(_ACTIVATIONS[layer.activation], (), {"inplace": True} if in_place else {})


def _output_call(output: OutputSpec, channels: int, classes: int) -> Call:
    steps: dict[str, object] = {}
    if output.norm != "none":
        steps["norm"] = Call(_NORMS[output.norm], (channels,))
    if output.activation != "none":
        steps["features_act"] = Call(_ACTIVATIONS[output.activation])
    if output.kind == "gap-linear":
        steps |= {"pool": Call("nn.AdaptiveAvgPool2d", (1,)), "flatten": Call("nn.Flatten")}
    if output.dropout:
        steps["dropout"] = Call("nn.Dropout", (output.dropout,))
    if output.kind == "gap-linear":
        steps["linear"] = Call("nn.Linear", (channels, classes))
    else:
        steps["conv"] = Call("nn.Conv2d", (channels, classes, 1))
        steps |= {"pool": Call("nn.AdaptiveAvgPool2d", (1,)), "flatten": Call("nn.Flatten")}
    return Call("Layer", (), steps)
