"""A spec as the calls that construct its modules, in order: what `net` runs and `source` prints.

One lowering for both, so that a standalone file cannot differ from the network that was trained.
"""

from __future__ import annotations

from .kinds import KINDS
from .layers import LayerSpec, StageSpec
from .outputs import output_call
from .spec import NetSpec
from .units import NORM_MODULES, Call, activation


def net_calls(spec: NetSpec) -> dict[str, Call]:
    """Return the call that constructs each child of the network: stem, c1 to c4, output."""
    calls = {}
    for (name, stage), shapes in zip(spec.parts(), spec.shapes, strict=True):
        calls[name] = _stage_call(stage, [channels for channels, _, _ in shapes])
    calls["output"] = output_call(spec.output, spec.shapes[-1][-1][0], spec.classes)
    return calls


def _stage_call(stage: StageSpec, channels: list[int]) -> Call:
    layers = (layer_call(layer, inputs) for layer, inputs in zip(stage.layers, channels, strict=False))
    return Call("Stage", tuple(layers))


def layer_call(layer: LayerSpec, channels: int) -> Call:
    """Return the call that constructs one layer, which reads `channels` channels."""
    steps: dict[str, object] = {}
    units = KINDS[layer.kind].units(layer, channels)
    for number, unit in enumerate(units):
        last = number == len(units) - 1
        # The gate is the non-linearity before the pointwise convolution: no activation there.
        silent = layer.gated and last == (layer.order == "norm-act-conv")
        fresh = layer.norm != "none" or number > 0 or layer.order != "norm-act-conv"
        act = {} if silent or layer.activation == "none" else {f"{unit.name}_act": activation(layer, fresh)}
        norm_width = unit.inputs if layer.order == "norm-act-conv" else unit.outputs
        norm_name = "norm" if last else f"{unit.name}_norm"
        norm = {} if layer.norm == "none" else {norm_name: Call(NORM_MODULES[layer.norm], (norm_width,))}
        if layer.order == "norm-act-conv":
            steps |= norm | act | {unit.name: unit.call}
        elif layer.order == "conv-act-norm":
            steps |= {unit.name: unit.call} | act | norm
        else:  # the last activation closes the layer, after the shortcut
            steps |= {unit.name: unit.call} | norm | ({} if last else act)
    if layer.squeeze_excite:
        steps["squeeze_excite"] = Call("SqueezeExcite", (layer.width, layer.squeeze_width))
    if layer.dropout:
        steps["dropout"] = Call("nn.Dropout", (layer.dropout,))
    if layer.residual:
        steps["residual"] = int(layer.residual)
    if layer.order == "conv-norm-act" and layer.activation != "none":
        steps["act"] = activation(layer, True)
    return Call("Layer", (), steps)
