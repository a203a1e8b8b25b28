"""Named networks, each within the whole budget of this project; docs/grammar.md tells what each is for."""

from __future__ import annotations

from .layers import LayerSpec, OutputSpec, StageSpec
from .spec import NetSpec


def _stage(*layers: LayerSpec) -> StageSpec:
    return StageSpec(layers)


_TINY = NetSpec(
    name="tiny",
    stem=_stage(LayerSpec("conv", 16, stride=2)),
    c1=_stage(LayerSpec("conv", 16), LayerSpec("conv", 16, residual=2)),
    c2=_stage(
        LayerSpec("conv", 48, stride=2),
        LayerSpec("dilated", 48, dilation=2, residual=1),
    ),
    c3=_stage(
        LayerSpec("depthwise_separable", 80),
        LayerSpec("depthwise_separable", 80, dilation=2, residual=1),
        LayerSpec("depthwise_separable", 80, dilation=2, residual=1),
    ),
    c4=_stage(
        LayerSpec("depthwise_separable", 144),
        LayerSpec("depthwise_separable", 144, residual=1),
    ),
    output=OutputSpec("conv-gap"),
)

_RESIDUAL = NetSpec(
    name="residual",
    stem=_stage(LayerSpec("conv", 24)),
    c1=_stage(
        LayerSpec("depthwise_separable", 24, residual=1),
        LayerSpec("depthwise_separable", 32),
    ),
    c2=_stage(
        LayerSpec("depthwise_separable", 64, stride=2),
        LayerSpec("depthwise_separable", 64, residual=1),
        LayerSpec("depthwise_separable", 64, 5, residual=1),
        LayerSpec("depthwise_separable", 64, residual=1),
    ),
    c3=_stage(
        LayerSpec("depthwise_separable", 96, stride=2),
        LayerSpec("depthwise_separable", 96, 5, residual=1),
        LayerSpec("depthwise_separable", 96, dilation=2, residual=1),
        LayerSpec("depthwise_separable", 96, 5, residual=1),
    ),
    c4=_stage(
        LayerSpec("depthwise_separable", 128),
        LayerSpec("depthwise_separable", 128, residual=1),
    ),
)

PRESETS: dict[str, NetSpec] = {spec.name: spec for spec in (_TINY, _RESIDUAL)}
