"""Row and Analysis: what rfcalc knows of one network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rfcalc.maps.field import Field
from rfcalc.trace.graph import Graph

if TYPE_CHECKING:
    from rfcalc.analysis.structure import Structure

__all__ = ["Analysis", "Row"]


@dataclass(frozen=True)
class Row:
    """One op of the network, in execution order.

    Attributes:
        index: Its number in `Analysis.rows`.
        name: Module path ("c2.1.conv"), "#2" for a second call; the op's name outside of any child.
        op: What it does: "conv", "depthwise conv", "max pool", "add", ...
        module: Class name of the module that ran it.
        output_shape: Without the batch: (C, H, W).
        params: Elements of the parameters that it is the first to use.
        macs: Multiply-accumulates for one image (docs/conventions.md).
        activation_bytes: float32 bytes of its output, for one image.
        field: Receptive field of its output.
        node: Number of its op in `Analysis.graph.nodes`.
        sources: Numbers of the rows whose outputs it reads, views skipped.
    """

    index: int
    name: str
    op: str
    module: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    activation_bytes: int
    field: Field
    node: int
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Analysis:
    """Everything that rfcalc knows about one network at one input size.

    Attributes:
        input_size: (channels, *spatial) of one image.
        rows: One for each op that moves, mixes or counts, in execution order.
        field: The field that the budget judges: the last features before global pooling or flattening.
        field_row: Number of the row that `field` belongs to; None when no row is local. Its output may become
            the judged map by a view alone (tokens that are put back into rows and columns).
        field_rivals: Numbers of the rows whose maps are last features too, with another field: two branches
            that are pooled apart, several outputs. () where the choice is clear.
        outputs: Field of every tensor that forward() returns, by name ("" for a lone tensor).
        params: Elements of all unique parameters, frozen ones included, buffers not.
        trainable_params: Those that require a gradient.
        macs: Multiply-accumulates of convolutions, linear and recurrent layers, one image; with `count_all`
            everything that is known of.
        peak_activation_bytes: Largest sum of tensors alive at once, float32, one image, input included.
        uncounted_macs: What `macs` leaves out, by op: products of two activations ("bmm"), layers on
            constants ("convolution on constants"); with `macs` it is what `count_all` counts.
        count_all: Whether `macs` counts beyond the convention.
        structure: What kind of network it is.
        graph: The traced run.
        peak_bytes: `peak_activation_bytes` by element type: float32, float16, and int8 where elementwise ops
            work in place.
        weight_bytes: Bytes of all parameters by element type (docs/budget.md).
        further: The same run seen from each other input that has spatial axes, by parameter of forward().
        others: The runs that took another branch, where forward() branches on a value: this one is the
            longest of them.
    """

    input_size: tuple[int, ...]
    rows: tuple[Row, ...]
    field: Field
    field_row: int | None
    field_rivals: tuple[int, ...]
    outputs: dict[str, Field]
    params: int
    trainable_params: int
    macs: int
    peak_activation_bytes: int
    uncounted_macs: dict[str, int]
    count_all: bool
    structure: Structure
    graph: Graph = dataclasses.field(repr=False, compare=False)
    peak_bytes: dict[str, int] = dataclasses.field(default_factory=dict, repr=False)
    weight_bytes: dict[str, int] = dataclasses.field(default_factory=dict, repr=False)
    further: dict[str, Analysis] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    others: tuple[Analysis, ...] = dataclasses.field(default=(), repr=False, compare=False)

    @property
    def input_text(self) -> str:
        """The inputs as --input takes them: "3x32x32", "img=3x32x32, mask=1x32x32"."""
        return ", ".join(map(str, self.graph.given)) or "x".join(map(str, self.input_size))

    @property
    def inputs(self) -> dict[str, Analysis]:
        """The analysis seen from each input with spatial axes, this one first, by parameter of forward()."""
        numbers = self.graph.inputs
        name = self.graph.names[numbers.index(self.graph.input)] if self.graph.names else "0"
        return {name: self, **self.further}

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of ops that do arithmetic which `macs` leaves out, e.g. attention products."""
        return tuple(self.uncounted_macs)

    @property
    def output(self) -> Field:
        """Field of what forward() returns; the last one when it returns several maps."""
        return list(self.outputs.values())[-1]
