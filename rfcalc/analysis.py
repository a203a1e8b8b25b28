"""Graph -> Analysis: one row for each op, and the totals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rfcalc.field import Field
from rfcalc.trace import Graph

if TYPE_CHECKING:
    from rfcalc.structure import Structure

__all__ = ["Analysis", "Row"]


@dataclass(frozen=True)
class Row:
    """One op of the network, in execution order.

    Attributes:
        index: Its number in `Analysis.rows`.
        name: Module path ("c2.1.conv"); a second call ends in "#2"; the op's name outside of any child module.
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
        field_row: Number of the row that `field` belongs to; None when no row is local.
        outputs: Field of every tensor that forward() returns, by name ("" for a lone tensor).
        params: Elements of all unique parameters, frozen ones included, buffers not.
        trainable_params: Those that require a gradient.
        macs: Multiply-accumulates of convolutions and linear layers, one image.
        peak_activation_bytes: Largest sum of tensors alive at once, float32, one image, input included.
        uncounted: Names of ops that do arithmetic which `macs` leaves out, e.g. attention products.
        structure: What kind of network it is.
        graph: The traced run.
    """

    input_size: tuple[int, ...]
    rows: tuple[Row, ...]
    field: Field
    field_row: int | None
    outputs: dict[str, Field]
    params: int
    trainable_params: int
    macs: int
    peak_activation_bytes: int
    uncounted: tuple[str, ...]
    structure: Structure
    graph: Graph = field(repr=False, compare=False)

    @property
    def output(self) -> Field:
        """Field of what forward() returns; the last one when it returns several maps."""
        return list(self.outputs.values())[-1]
