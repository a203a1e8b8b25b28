"""Named networks, each within the whole budget of this project; docs/grammar.md lists the purpose of each."""

from __future__ import annotations

from functools import partial

from .layers import BranchSpec, LayerSpec, OutputSpec, StageSpec
from .spec import NetSpec


def _stage(*layers: LayerSpec) -> StageSpec:
    return StageSpec(layers)


# For CPUs: depthwise layers cost about twice as much time per MAC there, so all but the last two are plain.
_TINY = NetSpec(
    name="tiny",
    stem=_stage(LayerSpec("conv", 12)),
    c1=_stage(LayerSpec("conv", 24, stride=2), LayerSpec("conv", 24, residual=1)),
    c2=_stage(LayerSpec("conv", 48, stride=2), LayerSpec("dilated", 48, dilation=2, residual=1)),
    c3=_stage(LayerSpec("conv", 48), LayerSpec("dilated", 48, dilation=2, residual=1)),
    c4=_stage(LayerSpec("depthwise_separable", 96), LayerSpec("depthwise_separable", 96, residual=1)),
)

_smooth = partial(LayerSpec, activation="silu")


def _residual(name: str, activation: str) -> NetSpec:
    """Return plain kernels at 16x16, where they cost a CPU little, and depthwise ones at 8x8.

    docs/results/training.md has what was tried.
    """
    layer = partial(LayerSpec, activation=activation)
    return NetSpec(
        name=name,
        stem=_stage(layer("conv", 16)),
        c1=_stage(layer("conv", 32, stride=2), layer("conv", 32, residual=1)),
        c2=_stage(layer("conv", 52), layer("dilated", 52, dilation=2, residual=1)),
        c3=_stage(
            layer("depthwise_separable", 68, stride=2),
            layer("depthwise_separable", 68, 5, residual=1),
            layer("depthwise_separable", 68, residual=1),
            layer("depthwise_separable", 68, 5, residual=1),
        ),
        c4=_stage(layer("depthwise_separable", 108), layer("depthwise_separable", 108, residual=1)),
    )


_RESIDUAL = _residual("residual", "silu")
# Hard-swish is SiLU of straight lines: the same network for microcontrollers and int8 (docs/export.md).
_RESIDUAL_MCU = _residual("residual-mcu", "hardswish")

# Down to 8x8 for context, then up to 16x16 again; kernel 4 at stride 2 gives every output the same four taps.
_TRANSPOSED = NetSpec(
    name="transposed",
    stem=_stage(_smooth("conv", 16)),
    c1=_stage(_smooth("conv", 36, stride=2), _smooth("conv", 36, residual=1)),
    c2=_stage(_smooth("conv", 44), _smooth("dilated", 44, dilation=2, residual=1)),
    c3=_stage(
        _smooth("depthwise_separable", 68, stride=2),
        _smooth("depthwise_separable", 68, 5, residual=1),
        _smooth("depthwise_separable", 68, residual=1),
        _smooth("depthwise_separable", 68, 5, residual=1),
    ),
    c4=_stage(
        _smooth("transposed", 52, 4, stride=2, groups=4),
        _smooth("depthwise_separable", 84),
        _smooth("depthwise_separable", 84, residual=1),
    ),
)


def _mixed(width: int) -> LayerSpec:
    """A quarter of the channels each untouched, 3x3, 7x7 and 7x7 at dilation 3; then a gated pointwise."""
    branches = (BranchSpec(1), BranchSpec(3), BranchSpec(7), BranchSpec(7, 3))
    return LayerSpec(
        "split",
        width,
        branches=branches,
        gated=True,
        residual=1,
        activation="silu",
        order="norm-act-conv",
    )


# A four-stage relative of the two-stage design (48, 80 channels) that holds the record under 100k parameters.
_WIDE = NetSpec(
    name="wide",
    stem=_stage(LayerSpec("conv", 44)),
    c1=_stage(_mixed(44), _mixed(44)),
    c2=_stage(LayerSpec("depthwise_separable", 44, activation="silu", order="norm-act-conv"), _mixed(44)),
    c3=_stage(
        LayerSpec("depthwise_separable", 80, stride=2, activation="silu", order="norm-act-conv"), _mixed(80)
    ),
    c4=_stage(_mixed(80), _mixed(80)),
    output=OutputSpec(norm="batch", activation="silu"),
)

PRESETS: dict[str, NetSpec] = {
    spec.name: spec for spec in (_TINY, _RESIDUAL, _RESIDUAL_MCU, _TRANSPOSED, _WIDE)
}
