"""The effective receptive field: how the influence of pixels is spread, in closed form and measured.

Closed form (Luo et al., "Understanding the effective receptive field in deep convolutional neural networks",
2016): with uniform weights, the influence of a chain is a convolution of boxes, so that its variance is the
sum over the layers of jump^2 * dilation^2 * (kernel^2 - 1) / 12, exactly. Where branches join, each is taken
to weigh the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Any

import torch

from rfcalc.analysis.result import Analysis, Row
from rfcalc.errors import UsageError
from rfcalc.maps.indexmap import Periodic
from rfcalc.maps.readout import Readout
from rfcalc.maps.state import State, constant, image
from rfcalc.ops.call import Call
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import WINDOWED
from rfcalc.trace.graph import Graph, Node, Ref, write_view

Sigma = tuple[float | None, ...]
"""Standard deviation of the influence in input pixels for each axis; None where there is no closed form."""


@dataclass(frozen=True)
class _Spread:
    """Along one axis: where the influence on output 0 has its mean, and its variance, in input pixels."""

    mean: float
    variance: float


def effective_field(analysis: Analysis) -> tuple[Sigma, ...]:
    """The effective receptive field of every row.

    Returns:
        One sigma for each row and axis; None behind a global operation, which brings the whole image in, and
        where an op samples at places that depend on the content.
    """
    axes = len(analysis.input_size) - 1
    spreads: list[tuple[_Spread | None, ...]] = []
    for row in analysis.rows:
        node = analysis.graph.nodes[row.node]
        # A layer on a constant has no influence to pass on.
        read = [i for i in row.sources if any(analysis.rows[i].field.size)]
        sources = [spreads[i] for i in read] or [(_Spread(0.0, 0.0),) * axes]
        jumps = [analysis.rows[i].field.jump for i in read] or [(Fraction(1),) * axes]
        unbounded = row.field.is_global or row.field.flags & {"data-dependent", "unknown"}
        if unbounded or not any(row.field.size):
            spreads.append((None,) * axes)
        elif op_of(node).kind in WINDOWED:
            taps = _taps(analysis.graph, node, axes)
            spreads.append(
                tuple(
                    None
                    if before is None or jump is None or tap is None
                    else _through(before, float(jump), tap)
                    for before, jump, tap in zip(sources[0], jumps[0], taps, strict=True)
                )
            )
        else:
            spreads.append(tuple(_mixture(list(parts)) for parts in zip(*sources, strict=True)))
    return tuple(
        tuple(None if spread is None else sqrt(spread.variance) for spread in spreads[row.index])
        for row in analysis.rows
    )


def _through(before: _Spread, jump: float, taps: _Spread) -> _Spread:
    return _Spread(before.mean + jump * taps.mean, before.variance + jump * jump * taps.variance)


def _mixture(parts: list[_Spread | None]) -> _Spread | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    mean = sum(part.mean for part in known) / len(known)
    return _Spread(mean, sum(part.variance + (part.mean - mean) ** 2 for part in known) / len(known))


def _taps(graph: Graph, node: Node, axes: int) -> tuple[_Spread | None, ...]:
    """Mean and variance of the places that one op reads, for each axis, averaged over its phases."""
    source = node.reads[0]
    states: dict[int, State] = {value: constant(graph.values[value].shape) for value in node.reads}
    states[source] = image(graph.values[source].shape, axes)
    rule = op_of(node).rule
    if rule is None or len(graph.values[source].shape) != axes + 2:
        return (None,) * axes
    result = rule(Call(node, graph, states))
    state = result if isinstance(result, State) else result[0]
    paths = Readout(state, graph.values[source].shape[2:]).paths
    if len(paths) != 1:
        return (None,) * axes
    planes = [part.map.plane for part in paths[0].parts]
    return tuple(_spread_of(plane) if isinstance(plane, Periodic) else None for plane in planes)


def _spread_of(plane: Periodic) -> _Spread | None:
    means, variances = [], []
    for phase, (low, bits) in enumerate(plane.phases):
        places = [low + i for i in range(bits.bit_length()) if bits >> i & 1]
        if not places:
            continue
        mean = sum(places) / len(places)
        means.append(mean - phase * float(plane.jump))
        variances.append(sum((place - mean) ** 2 for place in places) / len(places))
    return _Spread(sum(means) / len(means), sum(variances) / len(variances)) if means else None


def measured(analysis: Analysis, row: Row, *, images: int = 32, seed: int = 0) -> torch.Tensor:
    """The effective receptive field of the centre unit, measured with the network's own weights.

    The gradient of the unit (summed over channels) with respect to the image, its absolute value summed over
    the image's channels and averaged over images of Gaussian noise.

    Args:
        analysis: Of the network.
        row: Whose centre unit.
        images: Noise images to average over.
        seed: Of the noise.

    Returns:
        float64 of the image's spatial shape, of sum 1.

    Raises:
        UsageError: The weights are not there (meta tensors), or no gradient reaches the image.
    """
    (influence,) = measured_rows(analysis, [row], images=images, seed=seed)
    if influence is None:
        raise UsageError(
            f"--erf-map: no gradient of {row.name} reaches the image, so there is nothing to draw"
        )
    return influence


def measured_rows(
    analysis: Analysis,
    rows: Sequence[Row],
    *,
    images: int = 32,
    seed: int = 0,
    units: Sequence[tuple[int, ...] | None] | None = None,
    proceed: Callable[[int], bool] | None = None,
) -> list[torch.Tensor | None]:
    """`measured` for many rows: one forward an image serves them all, and each row costs a backward.

    Args:
        analysis: Of the network.
        rows: A row may come several times, for several of its units.
        images: Noise images to average over.
        seed: Of the noise.
        units: Index of a unit, for each of `rows`; None: the centre unit.
        proceed: Asked before each backward with how many are done; False ends the measurement. What was
            measured of the image at hand is then kept only if it is the first.

    Returns:
        One map for each of `rows`, in their order; None where no gradient reaches the image, and where the
        measurement ended before it.

    Raises:
        UsageError: The weights are not there (meta tensors), or the network cannot be run with gradients.
    """
    generator = torch.Generator().manual_seed(seed)
    totals = [torch.zeros(analysis.input_size[1:], dtype=torch.float64) for _ in rows]
    places = units if units is not None else [None] * len(rows)
    for image_number in range(images):
        noise = torch.randn((1, *analysis.input_size), generator=generator)
        try:
            done = image_number * len(rows)
            gradients = _gradients(analysis.graph, rows, places, noise, proceed and _from(done, proceed))
        except RuntimeError as error:
            # Meta weights, an op without a derivative, a backward through what was overwritten in place.
            reason = str(error).splitlines()[0]
            raise UsageError(f"--erf-map: the network cannot be run with gradients: {reason}") from error
        ended = len(gradients) < len(rows)
        if ended and image_number:
            break
        for total, gradient in zip(totals, gradients, strict=False):
            if gradient is not None:
                total += gradient.abs().sum((0, 1)).double()
        if ended:
            break
    return [total / total.sum() if float(total.sum()) > 0 else None for total in totals]


def _from(done: int, proceed: Callable[[int], bool]) -> Callable[[int], bool]:
    return lambda further: proceed(done + further)


def _gradients(
    graph: Graph,
    rows: Sequence[Row],
    units: Sequence[tuple[int, ...] | None],
    noise: torch.Tensor,
    proceed: Callable[[int], bool] | None,
) -> list[torch.Tensor | None]:
    """Return the gradient of each unit, in order, as far as `proceed` lets it come."""
    noise = noise.requires_grad_()
    wanted: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        wanted.setdefault(row.node, []).append(place)
    sums: dict[int, torch.Tensor] = {}
    with torch.enable_grad():
        for node, output in _replayed(graph, noise, max(wanted, default=-1)):
            for place in wanted.get(node, ()):
                # Summed at once: an op in place may change the output before the last op has run.
                sums[place] = _unit(output, rows[place], units[place]).sum()
    gradients: list[torch.Tensor | None] = []
    for place in range(len(rows)):
        if proceed is not None and not proceed(place):
            break
        found = None
        if sums[place].requires_grad:
            (found,) = torch.autograd.grad(sums[place], noise, retain_graph=True, allow_unused=True)
        gradients.append(found)
    return gradients


def _unit(output: torch.Tensor, row: Row, unit: tuple[int, ...] | None) -> torch.Tensor:
    """Return one unit's channels; the centre unit for None."""
    if len(row.field.positions) == output.dim() - 2:
        for index in unit or [length // 2 for length in row.field.positions]:
            output = output.select(2, index)
    return output


def _replayed(graph: Graph, noise: torch.Tensor, until: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Run the recorded ops again, with the network's weights, on another image; yield first outputs."""
    values: dict[int, torch.Tensor] = {}
    for value in graph.values:
        if value.parameter is not None and (value.constant is None or value.constant.is_meta):
            raise UsageError("--erf-map: the weights are meta tensors, so there is nothing to measure")
        if value.constant is not None and value.producer is None:
            values[value.index] = value.constant.detach()
    # An op in place may not write to a leaf.
    values[graph.input] = noise.clone()

    def tensors(tree: Any) -> Any:
        if isinstance(tree, Ref):
            return values[tree.value]
        if isinstance(tree, list | tuple):
            return type(tree)(tensors(part) for part in tree)
        return tree

    for node in graph.nodes[: until + 1]:
        if node.op is write_view:
            # The op in place has changed the tensor through its view already.
            values[node.outputs[0]] = tensors(node.args[0])
            yield node.index, values[node.outputs[0]]
            continue
        kwargs = {name: tensors(part) for name, part in node.kwargs.items() if name != "device"}
        result = node.op(*tensors(node.args), **kwargs)
        results = result if isinstance(result, list | tuple) else (result,)
        values.update(zip(node.outputs, results, strict=False))
        if node.outputs:
            yield node.index, results[0]
