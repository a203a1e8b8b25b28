"""An op without a rule: find out by running it which inputs each output reads, dimension by dimension."""

from __future__ import annotations

from typing import Any

import torch

from rfcalc.maps.indexmap import Reads
from rfcalc.maps.regroup import broadcast
from rfcalc.maps.state import State, constant
from rfcalc.ops.call import Call
from rfcalc.trace.graph import Ref

__all__ = ["probed"]

MAX_WORK = 1 << 25
"""Elements that probing may compute before it gives up."""


def probed(call: Call) -> State | list[State]:
    """Return the states of an op's outputs, flagged "probed"; flagged "unknown" where it could not be run.

    Every slice of every dimension of each operand is changed to other random numbers, and the slices of the
    output that change are noted. The product over dimensions covers whatever the op does, and is exact when
    the op treats its dimensions independently. An op that cannot be run this way may read everything.
    """
    try:
        return [_probed(call, i) for i in range(len(call.node.outputs))]
    except Exception:
        return [_unknown(call, i) for i in range(len(call.node.outputs))]


def _unknown(call: Call, output: int) -> State:
    """Return bounds: the whole input, and locally at least the same place where the shapes agree."""
    shape = call.shape(output)
    parts = [constant(shape)]
    for state in call.inputs:
        if state.shape == shape:
            parts.append(state)
        reduced = state.reduced(range(len(state.dims)))
        parts.append(State((), reduced.paths, reduced.flags))
    return broadcast(parts, shape).flagged("unknown", "upper bound")


def _probed(call: Call, output: int) -> State:
    shape = call.shape(output)
    parts: list[State] = [constant(shape)]
    for value in call.node.reads:
        state = call.states[value]
        if state.paths:
            parts.append(_through(call, value, state, output))
    return broadcast(parts, shape).flagged("probed")


def _through(call: Call, value: int, state: State, output: int) -> State:
    """Return one operand's state after the op, from the dependence of output slices on its slices."""
    shape_in, shape_out = state.shape, call.shape(output)
    slices = sum(n for d, n in enumerate(shape_in) if set(state.dims[d]) & state.position_atoms)
    work = 2 * slices * (torch.Size(shape_in).numel() + torch.Size(shape_out).numel())
    if work > MAX_WORK:
        raise ValueError("too much to probe")
    out = state
    used: list[int | None] = [None] * len(shape_out)
    for d, n in enumerate(shape_in):
        if not set(state.dims[d]) & state.position_atoms:
            continue
        changed = _dependence(call, value, d, n, output)
        # The output dimension that this one maps to: along it the dependence is not the same everywhere.
        target = [e for e, table in enumerate(changed) if not bool((table == table[:1]).all())]
        if (
            len(target) != 1
            or used[target[0]] is not None
            or len(shape_in) != len(shape_out)
            or target[0] != d
        ):
            if target:
                raise ValueError("dimensions are entangled")
            out = out.reduced([d])
            continue
        used[d] = d
        rows = changed[d]
        sources = tuple(tuple(int(i) for i in row.nonzero().flatten()) for row in rows)
        out = out.along(d, _periodic(n, sources))
    for d, n in enumerate(shape_out):
        if d < len(out.dims) and used[d] is None and out.shape[d] != n:
            out = out.reduced([d]).resized(d, n, channel=d == 1)
    if len(out.dims) != len(shape_out):
        out = out.reduced(range(len(out.dims)))
        out = State((), out.paths, out.flags)
    return out


def _dependence(call: Call, value: int, d: int, n: int, output: int) -> list[torch.Tensor]:
    """Return a (length, n) table for each output dimension: which slice changes with which input slice."""
    tables = [torch.zeros(length, n, dtype=torch.bool) for length in call.shape(output)]
    generator = torch.Generator().manual_seed(0)
    for scale in (1.0, 100.0):
        operands = {v: _random(call, v, scale, generator) for v in call.node.reads}
        before = _run(call, operands, output)
        for i in range(n):
            changed = operands[value].clone()
            changed.select(d, i).copy_(scale * torch.randn(changed.select(d, i).shape, generator=generator))
            after = _run(call, {**operands, value: changed}, output)
            differs = (before != after) & ~(before.isnan() & after.isnan())
            for e, table in enumerate(tables):
                rest = [x for x in range(differs.dim()) if x != e]
                table[:, i] |= differs.any(dim=rest) if rest else differs
    return tables


def _random(call: Call, value: int, scale: float, generator: torch.Generator) -> torch.Tensor:
    entry = call.graph.values[value]
    if entry.constant is not None:
        return entry.constant.detach().cpu()
    noise = scale * torch.randn(entry.shape, generator=generator, dtype=torch.float64)
    return noise.to(entry.dtype)


def _run(call: Call, operands: dict[int, torch.Tensor], output: int) -> torch.Tensor:
    def tensors(tree: Any) -> Any:
        if isinstance(tree, Ref):
            return operands[tree.value].clone()
        if isinstance(tree, list | tuple):
            return type(tree)(tensors(t) for t in tree)
        return tree

    state = torch.get_rng_state()
    try:
        torch.manual_seed(0)
        with torch.no_grad():
            result = call.node.op(
                *tensors(call.node.args), **{k: tensors(v) for k, v in call.node.kwargs.items()}
            )
    finally:
        torch.set_rng_state(state)
    results = [
        r for r in (result if isinstance(result, tuple | list) else (result,)) if isinstance(r, torch.Tensor)
    ]
    return results[output].to(torch.float64)


def _periodic(n: int, sources: tuple[tuple[int, ...], ...]) -> Reads:
    """Return measured reads; shifted copies of one window give the form on the plane."""
    middle = len(sources) // 2
    if len(sources) > 2 and sources[middle] and sources[middle - 1]:
        step = sources[middle][0] - sources[middle - 1][0]
        taps = tuple(i - middle * step for i in sources[middle])
        expected = (tuple(i for i in (o * step + t for t in taps) if 0 <= i < n) for o in range(len(sources)))
        if all(a == b for a, b in zip(expected, sources, strict=True)):
            return Reads(n, sources, 1, step, (taps,))
    return Reads(n, sources, flags=frozenset({"size-dependent"}))
