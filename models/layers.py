"""The parts of a network of the grammar: layers, stages and the output, as frozen dataclasses.

They are data: `models.kinds` knows what each kind of layer is, `models.rules` checks them where a `NetSpec`
holds them and can name their place.
"""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("c1", "c2", "c3", "c4")
NORMS = ("batch", "layer", "none")
ACTIVATIONS = ("relu", "relu6", "silu", "gelu", "hardswish", "none")
ORDERS = ("conv-norm-act", "conv-act-norm", "norm-act-conv")


@dataclass(frozen=True, slots=True)
class BranchSpec:
    """One branch of a `split` layer: a depthwise convolution; kernel 1 passes its channels through."""

    kernel: int = 3
    dilation: int = 1


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer of a stage. It is checked by the `NetSpec` that holds it, which can name its place.

    Attributes:
        kind: One of `models.kinds.KINDS`.
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
    def squeeze_width(self) -> int:
        """Hidden units of the squeeze-excite gate."""
        return max(1, self.width // self.squeeze_excite)

    def group_count(self, channels: int) -> int:
        """Return the groups of the layer's convolution when it reads `channels` channels."""
        return channels if isinstance(self.groups, str) else self.groups


@dataclass(frozen=True, slots=True)
class StageSpec:
    """The layers of a stage, in the order in which they run."""

    layers: tuple[LayerSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """From the last features to the classes.

    Attributes:
        kind: One of `models.outputs.OUTPUTS`: "conv-gap" (1x1 convolution to the classes, then global average
            pooling) or "gap-linear".
        norm: A norm before all that, for networks of order "norm-act-conv".
        activation: The activation after that norm.
        dropout: Probability of zeroing an activation just before the weights.
    """

    kind: str = "conv-gap"
    norm: str = "none"
    activation: str = "none"
    dropout: float = 0.0
