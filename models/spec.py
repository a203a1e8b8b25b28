"""The C1C2C3C4 grammar: a network as frozen dataclasses, checked when it is put together.

A `NetSpec` is a stem, four stages and an output. A stage is a list of layers. Nothing here knows torch: a
spec is validated, measured (`models.arithmetic`), widened (`with_widths`) and printed (`models.source`)
without building a single module. docs/grammar.md describes every kind and key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import SpecError as SpecError

STAGES = ("c1", "c2", "c3", "c4")
KINDS = ("conv", "depthwise_separable", "dilated", "transposed", "split")
NORMS = ("batch", "layer", "none")
ACTIVATIONS = ("relu", "silu", "gelu", "hardswish", "none")
ORDERS = ("conv-norm-act", "conv-act-norm", "norm-act-conv")
OUTPUTS = ("conv-gap", "gap-linear")


@dataclass(frozen=True, slots=True)
class BranchSpec:
    """One branch of a `split` layer: a depthwise convolution; kernel 1 passes its channels through."""

    kernel: int = 3
    dilation: int = 1


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer of a stage. It is checked by the `NetSpec` that holds it, which can name its place.

    Attributes:
        kind: One of `KINDS`.
        width: Output channels.
        kernel: Kernel size, 1 to 7, in both directions.
        stride: Down-sampling step; of a `transposed` layer the up-sampling factor, 1 or 2.
        dilation: Step between the taps of the kernel.
        padding: Zeros on each side, 0 to dilation * (kernel - 1); None for half of that, which keeps the map
            (odd kernels) or divides it by the stride.
        groups: Groups of a conv, dilated or transposed layer; "depthwise" for one group a channel.
        branches: The branches of a `split`; its input channels are divided over them as evenly as possible.
        residual: How many layers of the stage, this one included, the shortcut that ends here spans: 0 for no
            shortcut, 1 (or True) around this layer alone, 2 for a basic block of ResNet.
        gated: Mix the channels with a gate: 1x1 to twice the width, one half activated times the other,
            1x1 to the width. It replaces the pointwise layer of `depthwise_separable` and `split` and
            follows the convolution of the other kinds.
        squeeze_excite: Reduction of a squeeze-excite gate (width // reduction hidden units); 0 for none.
        dropout: Probability of zeroing an activation during training.
        norm: One of `NORMS`; "layer" normalises over the channels of a position.
        activation: One of `ACTIVATIONS`.
        order: One of `ORDERS`: how each convolution, its norm and its activation follow each other.
    """

    kind: str
    width: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    padding: int | None = None
    groups: int | str = 1
    branches: tuple[BranchSpec, ...] = ()
    residual: int = 0
    gated: bool = False
    squeeze_excite: int = 0
    dropout: float = 0.0
    norm: str = "batch"
    activation: str = "relu"
    order: str = "conv-norm-act"

    @property
    def pad(self) -> int:
        """Zeros on each side: `padding`, or what keeps the map where that is None."""
        return self.dilation * (self.kernel - 1) // 2 if self.padding is None else self.padding

    @property
    def output_padding(self) -> int:
        """Extra rows of a stride-2 transposed convolution, chosen so that the map doubles exactly."""
        return 1 if self.stride == 2 and self.dilation * (self.kernel - 1) % 2 == 0 else 0

    def group_count(self, channels: int) -> int:
        """Return the groups of the layer's convolution when it reads `channels` channels."""
        return channels if isinstance(self.groups, str) else self.groups

    def output_length(self, length: int) -> int:
        """Return the rows (or columns) of the layer's output for `length` rows of input."""
        reach = self.dilation * (self.kernel - 1)
        if self.kind == "transposed":
            return (length - 1) * self.stride - 2 * self.pad + reach + self.output_padding + 1
        if self.kind == "split":  # every branch keeps the map before its stride
            return (length - 1) // self.stride + 1
        return (length + 2 * self.pad - reach - 1) // self.stride + 1


@dataclass(frozen=True, slots=True)
class StageSpec:
    """The layers of a stage, in the order in which they run."""

    layers: tuple[LayerSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """From the last features to the classes.

    Attributes:
        kind: "conv-gap" (1x1 convolution to the classes, then global average pooling) or "gap-linear".
        norm: A norm before all that, for networks of order "norm-act-conv".
        activation: The activation after that norm.
        dropout: Probability of zeroing an activation just before the weights.
    """

    kind: str = "conv-gap"
    norm: str = "none"
    activation: str = "none"
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class NetSpec:
    """A whole network. Creating one checks every rule of the grammar.

    Attributes:
        name: What tables and files call it.
        c1: First stage; `c2`, `c3`, `c4` follow.
        stem: Layers before the stages, often none.
        output: What turns the features into class scores.
        input_size: Channels, height and width of an image.
        classes: Class scores that the network returns, shape (N, classes).

    Raises:
        SpecError: A rule is broken; the text names the stage, the layer, the value and the rule.
    """

    name: str
    c1: StageSpec
    c2: StageSpec
    c3: StageSpec
    c4: StageSpec
    stem: StageSpec = field(default_factory=StageSpec)
    output: OutputSpec = field(default_factory=OutputSpec)
    input_size: tuple[int, int, int] = (3, 32, 32)
    classes: int = 10

    def __post_init__(self) -> None:
        from .rules import check_net

        check_net(self)

    @property
    def stages(self) -> tuple[StageSpec, StageSpec, StageSpec, StageSpec]:
        """C1 to C4."""
        return self.c1, self.c2, self.c3, self.c4

    def parts(self) -> tuple[tuple[str, StageSpec], ...]:
        """Return the stem and the stages with their names, in the order in which they run."""
        return (("stem", self.stem), *zip(STAGES, self.stages, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values; a key that has its default is left out."""
        from .jsonio import net_to_json

        return net_to_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NetSpec:
        """Read what `to_json` wrote.

        Raises:
            SpecError: `data` is not a spec, has an unknown key or schema version, or breaks a rule.
        """
        from .jsonio import net_from_json

        return net_from_json(data)


def stage(*layers: LayerSpec) -> StageSpec:
    """Return a stage of these layers."""
    return StageSpec(layers)


def stage_widths(spec: NetSpec) -> tuple[int, int, int, int]:
    """Return the output channels of C1 to C4."""
    c1, c2, c3, c4 = (stage.layers[-1].width for stage in spec.stages)
    return c1, c2, c3, c4


def with_widths(spec: NetSpec, widths: Sequence[int]) -> NetSpec:
    """Return `spec` with these output channels of C1 to C4 and with everything that must follow them.

    Inside a stage, layers as wide as the stage stay so and others keep their ratio to it; depthwise layers
    take the channels that they read; a stem follows C1 where a shortcut of C1 starts at the stem's output.

    Raises:
        SpecError: Not four widths, or no valid network has them: groups that do not divide, or a shortcut
            that starts in the stage before while its two ends get different widths.
    """
    if len(widths) != len(STAGES):
        raise SpecError(f"widths: must be one for each of {', '.join(STAGES)}, but got {list(widths)!r}")
    stem, c1, c2, c3, c4 = widened(spec, widths)
    for name, stage, width in zip(STAGES, (c1, c2, c3, c4), widths, strict=True):
        got = stage.layers[-1].width
        if got != width:
            raise SpecError(
                f"{name}: its depthwise layers keep the {got} channels that they read, not {width!r}"
            )
    return replace(spec, stem=stem, c1=c1, c2=c2, c3=c3, c4=c4)


def widened(spec: NetSpec, widths: Sequence[int]) -> list[StageSpec]:
    """Return the stem and the stages that `with_widths` puts together, unchecked."""
    stem, channels = spec.stem, spec.input_size[0]
    if stem.layers:
        if starts_at_input(spec.c1):
            stem = _widened(stem, _start_width(spec.c1, widths[0]), channels)
        channels = stem.layers[-1].width
    parts = [stem]
    for stage, width in zip(spec.stages, widths, strict=True):
        parts.append(_widened(stage, width, channels))
        channels = parts[-1].layers[-1].width
    return parts


def starts_at_input(stage: StageSpec) -> bool:
    """Tell whether a shortcut starts at the stage's input, which ties its width to what comes before."""
    return any(layer.residual == index + 1 for index, layer in enumerate(stage.layers))


def _start_width(stage: StageSpec, width: int) -> int:
    """Return the channels that a shortcut from the stage's input needs when the stage is `width` wide."""
    end = next(layer for index, layer in enumerate(stage.layers) if layer.residual == index + 1)
    return _scaled(end, stage.layers[-1].width, width)


def _scaled(layer: LayerSpec, old: int, new: int) -> int:
    """Return the width of a layer, in the ratio that it has to its stage, which goes from `old` to `new`."""
    if layer.width == old:
        return new
    step = layer.groups if isinstance(layer.groups, int) else 1
    return max(step, round(layer.width * new / old / step) * step)


def _widened(stage: StageSpec, width: int, channels: int) -> StageSpec:
    """Return the stage with its last layer `width` wide, reading `channels`."""
    old = stage.layers[-1].width
    layers = []
    for layer in stage.layers:
        new = channels if layer.groups == "depthwise" else _scaled(layer, old, width)
        layers.append(layer if new == layer.width else replace(layer, width=new))
        channels = new
    return StageSpec(tuple(layers))
