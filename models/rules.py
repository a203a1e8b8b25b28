"""The rules of the grammar: what a `NetSpec` must hold before anything is built from it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .errors import SpecError, shown
from .kinds import KINDS
from .layers import ACTIVATIONS, NORMS, ORDERS, LayerSpec, OutputSpec, StageSpec
from .limits import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_DILATION,
    MAX_KERNEL,
    MAX_LAYERS,
    MAX_MAP,
    MAX_SIDE,
    MAX_STRIDE,
    MAX_UPSAMPLINGS,
    MAX_WIDTH,
)
from .outputs import OUTPUTS

if TYPE_CHECKING:
    from .spec import NetSpec

Shape = tuple[int, int, int]  # channels, height, width

_grouped = [name for name, kind in KINDS.items() if kind.grouped]
_GROUPED = f"{', '.join(_grouped[:-1])} and {_grouped[-1]}"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ +-]{0,99}")  # it becomes part of file names and of source text


def check_net(net: NetSpec) -> tuple[list[Shape], ...]:
    """Check every rule of the grammar.

    Returns:
        For the stem and C1 to C4 the input shape of every layer, then the output shape of the last.

    Raises:
        SpecError: With the place, the value and the rule.
    """
    label: Any = net.name
    if not isinstance(label, str) or not _NAME.fullmatch(label):
        raise SpecError(
            f"name: must be up to 100 letters, digits, spaces and . _ + -, but got {shown(label)}"
        )
    _check_input(net)
    shape, found = net.input_size, []
    for name, stage in net.parts():
        if type(stage) is not StageSpec or type(stage.layers) is not tuple:
            raise SpecError(f"{name}: must be a StageSpec with a tuple of layers, but got {shown(stage)}")
        if not stage.layers and name != "stem":
            raise SpecError(f"{name}: a stage needs at least one layer, but got none")
        if len(stage.layers) > MAX_LAYERS:
            raise SpecError(f"{name}: a stage has at most {MAX_LAYERS} layers, but got {len(stage.layers)}")
        found.append(stage_shapes(name, stage, shape))
        shape = found[-1][-1]
    if type(net.output) is not OutputSpec:
        raise SpecError(f"output: must be an OutputSpec, but got {shown(net.output)}")
    if problem := _output_problem(net.output):
        raise SpecError(f"output: {problem}")
    _check_upsamplings(net)
    return tuple(found)


def _check_upsamplings(net: NetSpec) -> None:
    """Refuse a network whose field would have too many phases: 2 for each up-sampling at worst."""
    up = 0
    for _, stage in net.parts():
        for layer in stage.layers:
            if layer.stride == 2 and KINDS[layer.kind].upsamples:
                up += 1
    if up > MAX_UPSAMPLINGS:
        raise SpecError(f"{net.name}: at most {MAX_UPSAMPLINGS} layers may up-sample, but got {up}")


def stage_shapes(name: str, stage: StageSpec, shape: Shape) -> list[Shape]:
    """Return the input shape of every layer of a stage, then the stage's output shape.

    Raises:
        SpecError: A layer breaks a rule, alone or because of what it reads.
    """
    shapes = [shape]
    for index, layer in enumerate(stage.layers):
        if problem := _layer_problem(layer):
            raise SpecError(f"{place(name, index, layer)}: {problem}")
        kind = KINDS[layer.kind]
        if problem := kind.channel_problem(layer, shape[0]):
            raise SpecError(f"{place(name, index, layer)}: {problem}")
        height = kind.output_length(layer, shape[1])
        width = height if shape[1] == shape[2] else kind.output_length(layer, shape[2])
        if height < 1 or width < 1:
            raise SpecError(
                f"{place(name, index, layer)}: shrinks the map to nothing, "
                f"{shape[1]}x{shape[2]} to {height}x{width}: lower "
                f"stride={layer.stride} or kernel={layer.kernel}, or raise the padding"
            )
        if layer.width * height * width > MAX_MAP:
            raise SpecError(
                f"{place(name, index, layer)}: the map {layer.width}x{height}x{width} has more than "
                f"{MAX_MAP} elements: lower width={layer.width}, or shrink the map"
            )
        shape = (layer.width, height, width)
        shapes.append(shape)
        if layer.residual and (problem := _residual_problem(stage, index, shapes)):
            raise SpecError(f"{place(name, index, layer)}: {problem}")
    return shapes


def place(name: str, index: int, layer: Any) -> str:
    """Return how an error names a layer: its stage, its index in it (from 0) and its kind."""
    kind = getattr(layer, "kind", None)
    return f"{name}, layer {index} ({kind})" if isinstance(kind, str) else f"{name}, layer {index}"


def _check_input(net: NetSpec) -> None:
    size: Any = net.input_size
    most = (MAX_CHANNELS, MAX_SIDE, MAX_SIDE)
    if (
        type(size) is not tuple
        or len(size) != 3
        or not all(type(n) is int and 1 <= n <= limit for n, limit in zip(size, most, strict=True))
    ):
        raise SpecError(
            f"input_size: must be three whole numbers, channels from 1 to {MAX_CHANNELS}, height and width "
            f"from 1 to {MAX_SIDE}, but got {shown(size)}"
        )
    if type(net.classes) is not int or not 1 <= net.classes <= MAX_CLASSES:
        raise SpecError(
            f"classes: must be a whole number from 1 to {MAX_CLASSES}, but got {shown(net.classes)}"
        )


def _layer_problem(layer: LayerSpec) -> str | None:
    """Return the rule that a layer breaks by itself, with the value, or None."""
    if type(layer) is not LayerSpec:
        return f"must be a LayerSpec, but got {shown(layer)}"
    # One plain comparison a rule and no loop over keys: a search has every layer checked that it draws.
    kind: Any = layer.kind
    if not isinstance(kind, str) or kind not in KINDS:
        return _choice_problem("kind", kind, KINDS)
    if problem := _follower_problem(layer):
        return problem
    if layer.order not in ORDERS:
        return _choice_problem("order", layer.order, ORDERS)
    if type(layer.width) is not int or not 1 <= layer.width <= MAX_WIDTH:
        return _range_problem("width", layer.width, MAX_WIDTH)
    if type(layer.kernel) is not int or not 1 <= layer.kernel <= MAX_KERNEL:
        return _range_problem("kernel", layer.kernel, MAX_KERNEL)
    if type(layer.stride) is not int or not 1 <= layer.stride <= MAX_STRIDE:
        return _range_problem("stride", layer.stride, MAX_STRIDE)
    if type(layer.dilation) is not int or not 1 <= layer.dilation <= MAX_DILATION:
        return _range_problem("dilation", layer.dilation, MAX_DILATION)
    if type(layer.residual) not in (int, bool) or layer.residual < 0:
        return f"residual must be a whole number >= 0, but got {shown(layer.residual)}"
    if type(layer.squeeze_excite) is not int or layer.squeeze_excite < 0:
        return f"squeeze_excite must be a whole number >= 0, but got {shown(layer.squeeze_excite)}"
    gated: Any = layer.gated
    if type(gated) is not bool:
        return f"gated must be true or false, but got {shown(gated)}"
    return _dropout_problem(layer.dropout) or _padding_problem(layer) or _kind_problem(layer)


def _range_problem(key: str, value: object, most: int) -> str:
    return f"{key} must be a whole number from 1 to {most}, but got {shown(value)}"


def _follower_problem(part: LayerSpec | OutputSpec) -> str | None:
    """Return what is wrong with the norm or the activation that follows a convolution, or None."""
    if part.norm not in NORMS:
        return _choice_problem("norm", part.norm, NORMS)
    if part.activation not in ACTIVATIONS:
        return _choice_problem("activation", part.activation, ACTIVATIONS)
    return None


def _choice_problem(key: str, value: object, allowed: Iterable[str]) -> str:
    return f"{key} must be one of {', '.join(allowed)}, but got {shown(value)}"


def _dropout_problem(value: float) -> str | None:
    if type(value) in (int, float) and 0 <= value < 1:
        return None
    return f"dropout must be a number from 0 to below 1, but got {shown(value)}"


def _padding_problem(layer: LayerSpec) -> str | None:
    reach = layer.dilation * (layer.kernel - 1)
    if layer.padding is None or (type(layer.padding) is int and 0 <= layer.padding <= reach):
        return None
    return (
        f"padding must be null or a whole number from 0 to dilation * (kernel - 1) = {reach} (more would add "
        f"positions that see padding alone), but got {shown(layer.padding)}"
    )


def _kind_problem(layer: LayerSpec) -> str | None:
    """Return the rule of its kind that a layer breaks, with the value, or None."""
    kind = KINDS[layer.kind]
    if layer.groups != "depthwise" and (type(layer.groups) is not int or layer.groups < 1):
        return f"groups must be a whole number >= 1 or 'depthwise', but got {shown(layer.groups)}"
    if layer.groups != 1 and not kind.grouped:
        return f"groups belong to {_GROUPED} layers, but got groups={layer.groups!r}"
    if layer.branches != () and not kind.branched:
        return f"branches belong to split layers, but got {shown(layer.branches)}"
    return kind.problem(layer)


def _output_problem(output: OutputSpec) -> str | None:
    kind: Any = output.kind
    if not isinstance(kind, str) or kind not in OUTPUTS:
        return _choice_problem("kind", kind, OUTPUTS)
    return _follower_problem(output) or _dropout_problem(output.dropout)


def _residual_problem(stage: StageSpec, index: int, shapes: list[Shape]) -> str | None:
    """The rule of a shortcut that ends at layer `index`: same shape and scale at both ends."""
    layer = stage.layers[index]
    span = int(layer.residual)
    if span > index + 1:
        return f"residual={span} reaches over the start of the stage, which has {index + 1} layers up to here"
    start, end = shapes[index + 1 - span], shapes[index + 1]
    if start != end:
        return f"a residual needs equal shapes, but its input is {_text(start)} and its output {_text(end)}"
    down = up = 1
    for inner in stage.layers[index + 1 - span : index + 1]:
        if KINDS[inner.kind].upsamples:
            up *= inner.stride
        else:
            down *= inner.stride
    if down != up:
        return f"a residual needs an unchanged scale, but its strides divide by {down} and multiply by {up}"
    return None


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
