"""How much of the image units see: exact pixel counts at this input size, for every unit of a map."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from math import prod
from operator import or_

import torch

from rfcalc.maps.field import Field
from rfcalc.maps.readout import Readout
from rfcalc.maps.state import Path

Products = Sequence[Sequence[int]]


def seen_counts(field: Field) -> torch.Tensor:
    """The number of input pixels that each unit sees.

    Returns:
        int64, of the shape `field.positions`: (h, w) for a map, () for a vector.
    """
    reach = field.reach
    assert isinstance(reach, Readout)
    if not reach.paths:
        return torch.zeros(reach.positions, dtype=torch.int64, device="cpu")
    if any(_sees_all(path, reach.input_size) for path in reach.paths):
        return torch.full(reach.positions, prod(reach.input_size), dtype=torch.int64, device="cpu")
    along = _axes_of(reach)
    if along is None:
        counts = [union_size(reach.products(index)) for index in _indices(reach.positions)]
        return torch.tensor(counts, dtype=torch.int64, device="cpu").reshape(reach.positions)
    if len(reach.paths) == 1:
        return _outer(reach.paths[0], reach.positions, along)
    return _grid(reach, along)


def local_part(field: Field) -> Field | None:
    """The field without the paths through global operations; None where no other is left."""
    reach = field.reach
    assert isinstance(reach, Readout)
    paths = tuple(path for path in reach.state.paths if path.is_local)
    if not paths:
        return None
    if not field.is_global:
        return field
    return replace(field, reach=Readout(replace(reach.state, paths=paths), reach.input_size))


def worst_share(field: Field) -> float:
    """The share of the image, 0 to 1, that the unit sees which sees least."""
    counts = seen_counts(field)
    return int(counts.min()) / prod(field.reach.input_size) if counts.numel() else 0.0


def unseen_pixels(field: Field) -> int:
    """Input pixels that no unit of the map sees."""
    reach = field.reach
    assert isinstance(reach, Readout)
    if _axes_of(reach) is None:
        union: list[Sequence[int]] = [p for index in _indices(reach.positions) for p in reach.products(index)]
        union = list(dict.fromkeys(tuple(product) for product in union))
    else:
        # Every combination of the axes' indices is a unit: the union over units is a product for each path.
        union = [[reduce(or_, part.map.seen, 0) for part in path.parts] for path in reach.paths]
    return prod(reach.input_size) - union_size(union)


def union_size(products: Products) -> int:
    """The number of pixels in a union of products of bitmasks.

    The first axis is cut into cells that lie in the same products; each cell counts once for every pixel of
    the union of those products' other axes.
    """
    if not products:
        return 0
    if len(products) == 1:
        return prod(bits.bit_count() for bits in products[0])
    if len(products[0]) == 1:
        return reduce(or_, (product[0] for product in products)).bit_count()
    rests = [product[1:] for product in products]
    return sum(
        bits.bit_count() * union_size([rests[i] for i in members])
        for bits, members in _cells([product[0] for product in products])
    )


def _cells(masks: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
    """The positions that lie in the same masks, with the numbers of those masks."""
    cells: list[tuple[int, tuple[int, ...]]] = []
    covered = 0
    for i, mask in enumerate(masks):
        split = []
        for bits, members in cells:
            inside, outside = bits & mask, bits & ~mask
            split += [(inside, (*members, i))] if inside else []
            split += [(outside, members)] if outside else []
        fresh = mask & ~covered
        cells = [*split, (fresh, (i,))] if fresh else split
        covered |= mask
    return cells


def _sees_all(path: Path, size: tuple[int, ...]) -> bool:
    """Whether a path alone brings the whole image to every unit, as a global operation does."""
    return all(min(part.map.seen) == (1 << length) - 1 for part, length in zip(path.parts, size, strict=True))


def _axes_of(reach: Readout) -> tuple[int | None, ...] | None:
    """For each input axis the dimension of the unit grid that it depends on; None where it is less simple.

    Simple: each axis depends, on every path, on the same one dimension as a whole or on none, and no two axes
    on the same. Windows, tokens and flattened maps are not.
    """
    dims = reach.dims
    along: list[int | None] = [None] * len(reach.input_size)
    for path in reach.paths:
        for axis, part in enumerate(path.parts):
            if not part.atoms:
                continue
            if part.atoms not in dims:
                return None
            dim = dims.index(part.atoms)
            if along[axis] not in (None, dim):
                return None
            along[axis] = dim
    used = [dim for dim in along if dim is not None]
    return tuple(along) if len(set(used)) == len(used) else None


def _outer(path: Path, positions: tuple[int, ...], along: tuple[int | None, ...]) -> torch.Tensor:
    counts = torch.ones(positions, dtype=torch.int64, device="cpu")
    for part, dim in zip(path.parts, along, strict=True):
        seen = torch.tensor([bits.bit_count() for bits in part.map.seen], dtype=torch.int64, device="cpu")
        if not part.atoms or dim is None:
            counts *= seen[0]
            continue
        shape = [1] * len(positions)
        shape[dim] = positions[dim]
        counts *= seen.reshape(shape)
    return counts


def _grid(reach: Readout, along: tuple[int | None, ...]) -> torch.Tensor:
    """Counts of a union of several products."""
    counts = _grid_of(reach.paths, tuple(range(len(along))))
    places = [len(along) if dim is None else dim for dim in along]
    order = sorted(range(len(along)), key=places.__getitem__)
    return counts.permute(order).reshape(reach.positions)


def _grid_of(paths: Sequence[Path], axes: tuple[int, ...]) -> torch.Tensor:
    """Sizes of the union of products over `axes`, for every combination of their indices.

    As `union_size`, one axis at a time; which products a cell lies in repeats along an axis, so that the
    union of their other axes is worked out once for each such set.
    """
    first, rest = axes[0], axes[1:]
    length = max(len(path.parts[first].map.seen) for path in paths)
    if not rest:
        seen = [reduce(or_, (_at(path, first, i) for path in paths)).bit_count() for i in range(length)]
        return torch.tensor(seen, dtype=torch.int64, device="cpu")
    below: dict[tuple[int, ...], torch.Tensor] = {}
    planes = []
    for i in range(length):
        plane: torch.Tensor | int = 0
        for bits, members in _cells([_at(path, first, i) for path in paths]):
            if members not in below:
                below[members] = _grid_of([paths[m] for m in members], rest)
            plane = plane + bits.bit_count() * below[members]
        planes.append(plane)
    tensors = [torch.as_tensor(plane, dtype=torch.int64, device="cpu") for plane in planes]
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors), (1,))  # type: ignore[no-untyped-call]
    return torch.stack([tensor.expand(shape) for tensor in tensors])


def _at(path: Path, axis: int, index: int) -> int:
    seen = path.parts[axis].map.seen
    return seen[index] if path.parts[axis].atoms else seen[0]


def _indices(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, shape))
