"""Size, jump and start against the gradient oracle: edges of fields that lie inside the image.

Clipped sets may agree though the numbers of the unbounded plane are wrong or missing. Two facts show it:

- what a unit sees is never wider than `size`;
- where the field of a unit lies inside the image, its first and last pixel are those that `start`, `jump` and
  `size` predict. Two units along each axis fix all three: first = start + jump * i, last = first + size - 1.

Near a border one edge is enough: a unit at the far end shows its first pixel, unit 0 its last. Where no edge
is inside, the network is run once more on a larger image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rfcalc.maps.plane import Periodic
from rfcalc.maps.readout import Readout
from rfcalc.trace.graph import Node, write_view

if TYPE_CHECKING:
    from rfcalc.analysis.result import Analysis, Row

__all__ = ["Misplaced", "edges_of", "too_wide", "wrong_edges"]

# Past a border these read places that are inside: only fields that lie wholly inside show their edges.
_BENDING = (
    "reflection_pad",
    "replication_pad",
    "flip",
    "roll",
    "upsample",
    "adaptive",
    "grid_sampler",
    "index",
)


# A border that these make lies inside the image.
_CROPS = (
    "slice",
    "select",
    "split",
    "split_with_sizes",
    "index",
    "index_select",
    "copy",
    "constant_pad_nd",
    "cat",
)


_Unit = tuple[int, int | None, int | None]


@dataclass(frozen=True)
class Misplaced:
    """A unit whose field has another extent or place than the numbers of its row say.

    Attributes:
        row: Name of the row.
        index: The unit's position.
        axis: Number of the input axis.
        claimed: First and last pixel that the row's size, jump and start predict; (0, size - 1) where only
            the size is claimed.
        seen: First and last pixel that the gradient reaches.
    """

    row: str
    index: tuple[int, ...]
    axis: int
    claimed: tuple[int, int]
    seen: tuple[int, int]


@dataclass(frozen=True)
class Edge:
    """What one unit must see along every axis: its first and last pixel, None where that is not inside."""

    index: tuple[int, ...]
    first: tuple[int | None, ...]
    last: tuple[int | None, ...]


def hulls(seen: torch.Tensor) -> list[tuple[int, int]] | None:
    """Return the first and last pixel along every axis of a boolean image; None where nothing is seen."""
    if not bool(seen.any()):
        return None
    found = []
    for axis in range(seen.dim()):
        others = [d for d in range(seen.dim()) if d != axis]
        places = (seen.any(dim=others) if others else seen).nonzero().flatten()
        found.append((int(places[0]), int(places[-1])))
    return found


def too_wide(row: Row, index: tuple[int, ...], seen: torch.Tensor, analysis: Analysis) -> Iterator[Misplaced]:
    """Find the axes along which a unit of a local map sees more than its row's size.

    A border that bends back may add places to a unit near it: row 4 of a map of four rows, reflected, is row
    2 once more; together with a shortcut that reads row 4 it is wider than either on the plane. Only units
    whose field lies inside the image are compared there.
    """
    field = row.field
    found = hulls(seen)
    maps = len(field.positions) == len(field.size) == len(row.output_shape) - 1
    if found is None or not maps or field.is_global or "wraps" in field.flags:
        return
    bends = _bends(row, analysis)
    for axis, ((first, last), size) in enumerate(zip(found, field.size, strict=True)):
        if last - first + 1 > size and not (bends and not _is_inside(row, index, axis, analysis)):
            yield Misplaced(row.name, index, axis, (0, size - 1), (first, last))


def edges_of(row: Row, analysis: Analysis) -> list[Edge]:
    """Return the units of a row whose edges lie inside the image, two along each axis; [] for none.

    Args:
        row: The row.
        analysis: The network that it belongs to.
    """
    readout, size = row.field.reach, analysis.input_size[1:]
    if not isinstance(readout, Readout) or row.field.is_global or "wraps" in row.field.flags:
        return []
    planes = [readout.plane(axis) for axis in range(len(size))]
    before = analysis.graph.nodes[: row.node + 1]
    bends = _bends(row, analysis)
    crops = any(map(_may_crop, before))
    chosen: list[list[_Unit]] = []
    for plane, n, pixels in zip(planes, readout.positions, size, strict=False):
        if plane is None or not plane.shift:
            return []
        axis = len(chosen)
        if crops:
            margin = -(-row.field.size[axis] // abs(plane.jump))
            chosen.append(_uncut(_inside(plane, range(margin, n - margin), pixels), readout.clipped(axis)))
        else:
            chosen.append(_shown(plane, n, pixels, bends))
    if not chosen or not all(chosen):
        return []
    units = []
    for k in range(max(map(len, chosen))):
        picked = [axis[k % len(axis)] for axis in chosen]
        units.append(Edge(*(tuple(part) for part in zip(*picked, strict=True))))
    return units


def _bends(row: Row, analysis: Analysis) -> bool:
    """Return whether an op before a row may read places that are inside past a border."""
    before = analysis.graph.nodes[: row.node + 1]
    return any(node.name.strip("_").startswith(_BENDING) for node in before)


def _is_inside(row: Row, index: tuple[int, ...], axis: int, analysis: Analysis) -> bool:
    """Return whether the field of a unit on the unbounded plane lies inside the image; False if unknown."""
    readout = row.field.reach
    plane = readout.plane(axis) if isinstance(readout, Readout) else None
    return plane is not None and bool(
        _inside(plane, range(index[axis], index[axis] + 1), analysis.input_size[1 + axis])
    )


def _may_crop(node: Node) -> bool:
    """Return whether an op may cut a map off inside the image, or write into a part of one."""
    return node.op is write_view or node.name in _CROPS or (node.name == "convolution" and bool(node.args[6]))


def _fields(plane: Periodic, indices: Iterable[int], pixels: int) -> list[tuple[int, int, int]]:
    """Return (index, first pixel, last pixel) of the units whose field touches the image."""
    known = []
    for i in indices:
        low, bits = plane.at(i)
        high = low + bits.bit_length() - 1
        # A field beside the image, in the padding alone, shows nothing.
        if bits and low < pixels and high >= 0:
            known.append((i, low, high))
    return known


def _inside(plane: Periodic, indices: range, pixels: int) -> list[tuple[int, int, int]]:
    """Return the units whose field lies inside the image, those in the middle first."""
    found = [entry for entry in _fields(plane, indices, pixels) if entry[1] >= 0 and entry[2] < pixels]
    middle = indices.start + indices.stop - 1
    return sorted(found, key=lambda entry: abs(2 * entry[0] - middle))


def _uncut(inside: list[tuple[int, int, int]], clipped: list[int]) -> list[_Unit]:
    """Return two units that no crop inside the image has cut a part off.

    Which those are is not known: clipped sets that are as wide as the plane says are whole. Where none of
    three or more is, the plane is wrong rather than all of them cut.
    """
    whole = []
    for i, low, high in inside:
        bits = clipped[i]
        if bits and (bits & -bits).bit_length() - 1 == low and bits.bit_length() - 1 == high:
            whole.append((i, low, high))
    return [*(whole or (inside if len(inside) > 2 else []))[:2]]


def _shown(plane: Periodic, n: int, pixels: int, bends: bool) -> list[_Unit]:
    """Return units along one axis that show their edges; only wholly inside the image where borders bend."""
    inside = _inside(plane, range(n), pixels)
    if inside or bends:
        return [*inside[:2]]
    known = _fields(plane, range(n), pixels)
    firsts: list[_Unit] = [(i, low, None) for i, low, _ in known if low >= 0]
    lasts: list[_Unit] = [(i, None, high) for i, _, high in known if high < pixels]
    if len(firsts) < 2 or not lasts:
        return []
    return [firsts[-1], firsts[-2], lasts[0]]


def wrong_edges(row: Row, edge: Edge, seen: torch.Tensor) -> Iterator[Misplaced]:
    """Find the axes along which a unit's edges are not where its row's size, jump and start put them."""
    found = hulls(seen)
    for axis, (first, last) in enumerate(zip(edge.first, edge.last, strict=True)):
        low, high = (-1, -1) if found is None else found[axis]
        if (first is not None and first != low) or (last is not None and last != high):
            claimed = low if first is None else first, high if last is None else last
            yield Misplaced(row.name, edge.index, axis, claimed, (low, high))
