"""The whole grammar as a space: what each stage is made of, how deep, how wide, and where the map shrinks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from models.errors import SpecError
from models.layers import STAGES, BranchSpec, LayerSpec, StageSpec
from models.spec import NetSpec
from search.propose.space import STEP, Choices, Space, Value, Values, filled

LAYER_KINDS = ("conv", "dilated", "depthwise_separable", "dilated_separable", "split")
"""What the layers of a stage are.

conv: plain convolutions. dilated: a plain one, then dilated ones. depthwise_separable: depthwise and 1x1.
dilated_separable: the same, all but the first dilated. split: depthwise and 1x1, then layers whose channels
are divided over parallel depthwise branches.
"""
FULL_CHOICES: Choices = {
    "stem_width": tuple(range(8, 49, 4)),
    "c1_width": tuple(range(8, 65, 4)),
    **{f"{stage}_growth": tuple(number / 4 for number in range(3, 9)) for stage in STAGES[1:]},
    **{f"{stage}_depth": (1, 2, 3, 4) for stage in STAGES},
    **{f"{stage}_kind": LAYER_KINDS for stage in STAGES},
    "dilation": (2, 3, 4),
    "kernel": (3, 5, 7),
    "strides": ("c1", "c2", "c3", "c1+c2", "c1+c3", "c2+c3", "c2+c4", "c3+c4", "c1+c2+c3", "c2+c3+c4"),
    "transposed": ("none", "c3", "c4"),
    "gate": ("none", "gated", "squeeze_excite"),
    "norm": ("batch", "layer"),
    "activation": ("relu", "silu"),
}
"""Every dimension with its values.

`c1_width` is there only where nothing fills the budget, which would scale it anyway. `cN_growth`: width of
the stage in widths of the one before. `dilation`: of every dilated layer and branch. `kernel`: of every
depthwise convolution that is not dilated, and of the branches of a split; plain convolutions are 3x3.
`strides`: stages whose first layer halves the map. `transposed`: the stage that begins by doubling it.
`gate`: of the layers whose 1x1 mixes the channels.
"""
SQUEEZE = 4
"""Reduction of a squeeze-excite gate."""
START_WIDTH = 24
"""Width of C1 before the budget is filled, which scales all of them."""

# The presets, or what is nearest to them here: each was chosen by hand for the same budget.
_ANCHORS: dict[str, dict[str, Value]] = {
    "tiny": {
        "stem_width": 12, "c1_width": 24, "c2_growth": 2.0, "c3_growth": 1.0, "c4_growth": 2.0,
        "c1_depth": 2, "c2_depth": 2, "c3_depth": 2, "c4_depth": 2,
        "c1_kind": "conv", "c2_kind": "dilated", "c3_kind": "dilated", "c4_kind": "depthwise_separable",
        "dilation": 2, "kernel": 3, "strides": "c1+c2", "transposed": "none",
        "gate": "none", "norm": "batch", "activation": "relu",
    },
    "near residual": {
        "stem_width": 16, "c1_width": 32, "c2_growth": 1.5, "c3_growth": 1.25, "c4_growth": 1.5,
        "c1_depth": 2, "c2_depth": 2, "c3_depth": 4, "c4_depth": 2,
        "c1_kind": "conv", "c2_kind": "dilated", "c3_kind": "depthwise_separable",
        "c4_kind": "depthwise_separable",
        "dilation": 2, "kernel": 5, "strides": "c1+c3", "transposed": "none",
        "gate": "none", "norm": "batch", "activation": "silu",
    },
    "near transposed": {
        "stem_width": 16, "c1_width": 32, "c2_growth": 1.25, "c3_growth": 1.5, "c4_growth": 1.25,
        "c1_depth": 2, "c2_depth": 2, "c3_depth": 4, "c4_depth": 2,
        "c1_kind": "conv", "c2_kind": "dilated", "c3_kind": "depthwise_separable",
        "c4_kind": "depthwise_separable",
        "dilation": 2, "kernel": 5, "strides": "c1+c3", "transposed": "c4",
        "gate": "none", "norm": "batch", "activation": "silu",
    },
    "near wide": {
        "stem_width": 44, "c1_width": 44, "c2_growth": 1.0, "c3_growth": 1.75, "c4_growth": 1.0,
        "c1_depth": 2, "c2_depth": 2, "c3_depth": 2, "c4_depth": 2,
        "c1_kind": "split", "c2_kind": "split", "c3_kind": "split", "c4_kind": "split",
        "dilation": 3, "kernel": 7, "strides": "c3", "transposed": "none",
        "gate": "gated", "norm": "batch", "activation": "silu",
    },
}  # fmt: skip


@dataclass(frozen=True)
class FullSpace(Space):
    """Networks of the grammar.

    Attributes:
        input_size: Channels, height and width of an image.
        classes: Class scores that a network returns.
        max_params: Widths are filled up to just under so many parameters; None: they are as proposed.
        narrowed: Allowed values of some dimensions, where they are fewer.
    """

    input_size: tuple[int, int, int]
    classes: int
    max_params: int | None
    narrowed: Choices = field(default_factory=dict)

    @cached_property
    def choices(self) -> Choices:
        """Allowed values by dimension."""
        return {
            name: self.narrowed.get(name, values)
            for name, values in FULL_CHOICES.items()
            if name != "c1_width" or self.max_params is None
        }

    def spec(self, values: Values) -> NetSpec:
        """Return the network that `values` stand for."""
        strides, up = str(values["strides"]).split("+"), str(values["transposed"])
        if up in strides:
            raise SpecError(f"{up}: a stage does not halve the map and double it")
        if up != "none" and all(stage > up for stage in strides):
            raise SpecError(f"{up}: a transposed layer would make the map larger than the image")
        width = int(values.get("c1_width", START_WIDTH))
        stages = []
        for stage in STAGES:
            if stage != "c1":
                width = max(STEP, round(width * float(values[f"{stage}_growth"]) / STEP) * STEP)
            layers = _layers(values, stage, width, 2 if stage in strides else 1)
            if stage == up:
                layers = [_transposed(values, width), *layers]
            stages.append(StageSpec(tuple(layers)))
        stem = _layer(values, "conv", int(values["stem_width"]))
        c1, c2, c3, c4 = stages
        spec = NetSpec(
            name="candidate",
            stem=StageSpec((stem,)),
            c1=c1,
            c2=c2,
            c3=c3,
            c4=c4,
            input_size=self.input_size,
            classes=self.classes,
        )
        return spec if self.max_params is None else filled(spec, self.max_params)

    def anchors(self) -> Mapping[str, Values]:
        """Return the presets, or what comes nearest to them here, as far as their values are allowed."""
        known = {name: {key: own[key] for key in self.choices} for name, own in _ANCHORS.items()}
        return {name: own for name, own in known.items() if all(own[key] in self.choices[key] for key in own)}


def _layers(values: Values, stage: str, width: int, stride: int) -> Sequence[LayerSpec]:
    """Return the layers of a stage, the first of which brings it to its width and scale.

    A shortcut spans each of the others; one around the first would tie the width to that of the stage before.
    """
    kind, depth = str(values[f"{stage}_kind"]), int(values[f"{stage}_depth"])
    plain = {"dilated": "conv", "dilated_separable": "depthwise_separable", "split": "depthwise_separable"}
    first = plain.get(kind, kind) if depth > 1 else kind
    others = [_layer(values, kind, width, residual=1) for _ in range(depth - 1)]
    return [_layer(values, first, width, stride), *others]


def _layer(values: Values, kind: str, width: int, stride: int = 1, residual: int = 0) -> LayerSpec:
    """Return a layer of one of `LAYER_KINDS`."""
    kernel, dilation = int(values["kernel"]), int(values["dilation"])
    mixes = kind in ("depthwise_separable", "dilated_separable", "split")
    branches: tuple[BranchSpec, ...] = ()
    if kind == "split":
        # A branch that passes its channels on cannot halve the map.
        still = BranchSpec(1) if stride == 1 else BranchSpec(3)
        branches = (still, BranchSpec(3), BranchSpec(kernel), BranchSpec(kernel, dilation))
    return LayerSpec(
        kind="depthwise_separable" if kind == "dilated_separable" else kind,
        width=width,
        kernel=kernel if kind == "depthwise_separable" else 3,
        stride=stride,
        dilation=dilation if kind.startswith("dilated") else 1,
        branches=branches,
        residual=residual,
        gated=mixes and values["gate"] == "gated",
        squeeze_excite=SQUEEZE if mixes and values["gate"] == "squeeze_excite" else 0,
        norm=str(values["norm"]),
        activation=str(values["activation"]),
    )


def _transposed(values: Values, width: int) -> LayerSpec:
    """Return a layer that doubles the map; kernel 4 at stride 2 gives every output the same four taps."""
    return LayerSpec(
        "transposed",
        width,
        4,
        stride=2,
        groups=STEP,
        norm=str(values["norm"]),
        activation=str(values["activation"]),
    )
