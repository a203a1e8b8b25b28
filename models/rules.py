"""The rules of the grammar: what a `NetSpec` must hold before anything is built from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .errors import SpecError
from .layers import (
    ACTIVATIONS,
    KINDS,
    NORMS,
    ORDERS,
    OUTPUTS,
    BranchSpec,
    LayerSpec,
    OutputSpec,
    StageSpec,
)

if TYPE_CHECKING:
    from .spec import NetSpec

Shape = tuple[int, int, int]  # channels, height, width

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
        raise SpecError(f"name: must be up to 100 letters, digits, spaces and . _ + -, but got {label!r}")
    _check_input(net)
    shape, found = net.input_size, []
    for name, stage in net.parts():
        if type(stage) is not StageSpec or type(stage.layers) is not tuple:
            raise SpecError(f"{name}: must be a StageSpec with a tuple of layers, but got {stage!r}")
        if not stage.layers and name != "stem":
            raise SpecError(f"{name}: a stage needs at least one layer, but got none")
        found.append(stage_shapes(name, stage, shape))
        shape = found[-1][-1]
    if type(net.output) is not OutputSpec:
        raise SpecError(f"output: must be an OutputSpec, but got {net.output!r}")
    if problem := _output_problem(net.output):
        raise SpecError(f"output: {problem}")
    return tuple(found)


def stage_shapes(name: str, stage: StageSpec, shape: Shape) -> list[Shape]:
    """Return the input shape of every layer of a stage, then the stage's output shape.

    Raises:
        SpecError: A layer breaks a rule, alone or because of what it reads.
    """
    shapes = [shape]
    for index, layer in enumerate(stage.layers):
        if problem := _layer_problem(layer) or _channel_problem(layer, shape[0]):
            raise SpecError(f"{place(name, index, layer)}: {problem}")
        height = layer.output_length(shape[1])
        width = height if shape[1] == shape[2] else layer.output_length(shape[2])
        if height < 1 or width < 1:
            raise SpecError(
                f"{place(name, index, layer)}: shrinks the map to nothing, "
                f"{shape[1]}x{shape[2]} to {height}x{width}: lower "
                f"stride={layer.stride} or kernel={layer.kernel}, or raise the padding"
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
    if type(size) is not tuple or len(size) != 3 or not all(type(n) is int and n >= 1 for n in size):
        raise SpecError(
            f"input_size: must be three whole numbers >= 1 (channels, height, width), but got {size!r}"
        )
    if type(net.classes) is not int or net.classes < 1:
        raise SpecError(f"classes: must be a whole number >= 1, but got {net.classes!r}")


def _layer_problem(layer: LayerSpec) -> str | None:
    """Return the rule that a layer breaks by itself, with the value, or None."""
    if type(layer) is not LayerSpec:
        return f"must be a LayerSpec, but got {layer!r}"
    # One plain comparison a rule and no loop over keys: a search has every layer checked that it draws.
    if layer.kind not in KINDS:
        return _choice_problem("kind", layer.kind, KINDS)
    if problem := _follower_problem(layer):
        return problem
    if layer.order not in ORDERS:
        return _choice_problem("order", layer.order, ORDERS)
    if type(layer.width) is not int or layer.width < 1:
        return f"width must be a whole number >= 1, but got {layer.width!r}"
    if type(layer.kernel) is not int or not 1 <= layer.kernel <= 7:
        return f"kernel must be a whole number from 1 to 7, but got {layer.kernel!r}"
    if type(layer.stride) is not int or layer.stride < 1:
        return f"stride must be a whole number >= 1, but got {layer.stride!r}"
    if type(layer.dilation) is not int or layer.dilation < 1:
        return f"dilation must be a whole number >= 1, but got {layer.dilation!r}"
    if type(layer.residual) not in (int, bool) or layer.residual < 0:
        return f"residual must be a whole number >= 0, but got {layer.residual!r}"
    if type(layer.squeeze_excite) is not int or layer.squeeze_excite < 0:
        return f"squeeze_excite must be a whole number >= 0, but got {layer.squeeze_excite!r}"
    gated: Any = layer.gated
    if type(gated) is not bool:
        return f"gated must be true or false, but got {gated!r}"
    return _dropout_problem(layer.dropout) or _padding_problem(layer) or _kind_problem(layer)


def _follower_problem(part: LayerSpec | OutputSpec) -> str | None:
    """Return what is wrong with the norm or the activation that follows a convolution, or None."""
    if part.norm not in NORMS:
        return _choice_problem("norm", part.norm, NORMS)
    if part.activation not in ACTIVATIONS:
        return _choice_problem("activation", part.activation, ACTIVATIONS)
    return None


def _choice_problem(key: str, value: object, allowed: tuple[str, ...]) -> str:
    return f"{key} must be one of {', '.join(allowed)}, but got {value!r}"


def _dropout_problem(value: float) -> str | None:
    if type(value) in (int, float) and 0 <= value < 1:
        return None
    return f"dropout must be a number from 0 to below 1, but got {value!r}"


def _padding_problem(layer: LayerSpec) -> str | None:
    reach = layer.dilation * (layer.kernel - 1)
    if layer.padding is None or (type(layer.padding) is int and 0 <= layer.padding <= reach):
        return None
    return (
        f"padding must be null or a whole number from 0 to dilation * (kernel - 1) = {reach} (more would add "
        f"positions that see padding alone), but got {layer.padding!r}"
    )


def _kind_problem(layer: LayerSpec) -> str | None:
    kind, stride, dilation, kernel = layer.kind, layer.stride, layer.dilation, layer.kernel
    if layer.groups != "depthwise" and (type(layer.groups) is not int or layer.groups < 1):
        return f"groups must be a whole number >= 1 or 'depthwise', but got {layer.groups!r}"
    if kind in ("depthwise_separable", "split") and layer.groups != 1:
        return f"groups belong to conv, dilated and transposed layers, but got groups={layer.groups!r}"
    if kind == "split":
        return _split_problem(layer)
    if layer.branches != ():
        return f"branches belong to split layers, but got {layer.branches!r}"
    if kind == "conv" and dilation != 1:
        return f"a conv has dilation 1 (kind 'dilated' has others), but got dilation={dilation}"
    if kind == "depthwise_separable" and kernel < 2:
        return f"kernel must be at least 2 (a 1x1 layer is kind 'conv'), but got kernel={kernel}"
    if kind == "dilated" and (dilation < 2 or kernel < 2):
        return f"dilation and kernel must be at least 2, but got dilation={dilation}, kernel={kernel}"
    if kind == "transposed":
        if stride > 2:
            return f"stride must be 1 (dilated) or 2 (up-sampling), but got stride={stride}"
        if stride == 2 and (kernel < 2 or dilation % 2 == 0):
            return (
                "up-sampling by 2 needs kernel >= 2 and odd dilation (else half of the outputs see nothing), "
                f"but got kernel={kernel}, dilation={dilation}"
            )
    return None


def _split_problem(layer: LayerSpec) -> str | None:
    if (layer.kernel, layer.dilation, layer.padding) != (3, 1, None):
        return (
            "kernel and dilation of a split belong to its branches and its padding keeps the map, "
            f"but got kernel={layer.kernel}, dilation={layer.dilation}, padding={layer.padding}"
        )
    if type(layer.branches) is not tuple or len(layer.branches) < 2:
        return f"a split needs a tuple of at least two branches, but got {layer.branches!r}"
    for number, branch in enumerate(layer.branches):
        if type(branch) is not BranchSpec:
            return f"branch {number} must be a BranchSpec, but got {branch!r}"
        if branch.kernel not in (1, 3, 5, 7) or type(branch.kernel) is not int:
            return f"kernel of branch {number} must be 1, 3, 5 or 7, but got {branch.kernel!r}"
        if type(branch.dilation) is not int or branch.dilation < 1:
            return f"branch {number}: dilation must be a whole number >= 1, but got {branch.dilation!r}"
        if branch.kernel == 1 and layer.stride > 1:
            return f"a branch of kernel 1 passes its channels on, which stride={layer.stride} does not allow"
    if all(branch.kernel == 1 for branch in layer.branches):
        return "at least one branch needs a kernel above 1"
    return None


def _output_problem(output: OutputSpec) -> str | None:
    if output.kind not in OUTPUTS:
        return _choice_problem("kind", output.kind, OUTPUTS)
    return _follower_problem(output) or _dropout_problem(output.dropout)


def _channel_problem(layer: LayerSpec, channels: int) -> str | None:
    """The rules that tie a layer to the channels it reads."""
    if layer.groups == 1:
        if layer.branches and len(layer.branches) > channels:
            return f"{len(layer.branches)} branches need as many input channels, but got {channels}"
        return None
    if layer.groups == "depthwise":
        if layer.width != channels:
            return f"a depthwise layer keeps its channels, but got width={layer.width} for {channels} of them"
    elif channels % int(layer.groups) or layer.width % int(layer.groups):
        return (
            f"groups must divide the input channels and the width, but got groups={layer.groups}, "
            f"{channels} input channels, width={layer.width}"
        )
    return None


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
        if inner.kind == "transposed":
            up *= inner.stride
        else:
            down *= inner.stride
    if down != up:
        return f"a residual needs an unchanged scale, but its strides divide by {down} and multiply by {up}"
    return None


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
