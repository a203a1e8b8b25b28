"""Graph -> Analysis: one row for each op, and the totals."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import nn

from rfcalc.analysis.counts import count, weight_bytes
from rfcalc.analysis.judged import is_nearly_global, judge_last
from rfcalc.analysis.result import Analysis, Row
from rfcalc.analysis.rows import is_row, names_of, op_name
from rfcalc.analysis.weights import ownership
from rfcalc.errors import one_line
from rfcalc.maps.field import Field
from rfcalc.maps.readout import field_of
from rfcalc.maps.state import Path, State, constant
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind, unused
from rfcalc.ops.propagate import propagate
from rfcalc.trace.graph import Graph, Node, Value
from rfcalc.trace.inputs import inputs_of
from rfcalc.trace.prepare import prepared, registered
from rfcalc.trace.trace import traced

__all__ = ["analyze", "analyze_graph"]


def analyze(
    model: nn.Module,
    input_size: Any = (3, 32, 32),
    *,
    train: bool = False,
    count_all: bool = False,
) -> Analysis:
    """Analyse a network at one input size; it is left exactly as it was found.

    Args:
        model: Any module whose forward takes tensors.
        input_size: (C, *spatial) of one image: one spatial axis for 1-D networks, three for 3-D. Several
            inputs are a list, `[(3, 32, 32), (1, 32, 32)]`, or a dict from parameter of forward() to size;
            integer tokens and element types are texts, as --input takes them: "tokens:128",
            "uint8:3x32x32".
        train: Analyse training mode, where batch norm mixes all positions of the batch.
        count_all: Count the multiply-accumulates that the convention leaves out, too: attention products,
            layers on constants, sampling at computed places, Fourier transforms.

    Raises:
        InputError: The input size is no such tuple of positive integers.
        LoadError: The model is no eager network: TorchScript, a torch.export program, quantised.
        ForwardError: forward() raised at this size; the message names the layer and the shapes.
        RuleError: A rule that the user registered returned something impossible.
    """
    given = inputs_of(input_size)
    model = prepared(model, given)
    graph = traced(model, given, train=train)
    unique = registered({part: name for name, part in model.named_modules()}, "_parameters")
    trainable = sum(p.numel() for p in unique.values() if p.requires_grad)
    sizes = {name: parameter.numel() for name, parameter in unique.items()}

    def seen(run: Graph) -> Analysis:
        found = analyze_graph(run, sizes, trainable, count_all=count_all)
        return replace(found, weight_bytes=weight_bytes([tuple(p.shape) for p in unique.values()]))

    runs = [_on_every_input(seen(run), seen) for run in (graph, *graph.others)]
    if len(runs) == 1:
        return runs[0]
    # Which of them happens depends on the content of the input. The largest represents all, so that the
    # result is the same for all weights.
    runs.sort(key=lambda run: (run.macs, prod(run.field.size), len(run.rows)), reverse=True)
    return replace(runs[0], field=_uncertain(runs[0].field), others=tuple(runs[1:]))


def _on_every_input(found: Analysis, seen: Callable[[Graph], Analysis]) -> Analysis:
    """Return an analysis with the views from the other inputs that have spatial axes."""
    graph = found.graph
    further = {
        name: seen(graph.seen_from(i))
        for i, name in enumerate(graph.names)
        if graph.inputs[i] != graph.input and graph.given[i].axes
    }
    return replace(found, further=further)


def _uncertain(field: Field) -> Field:
    return replace(field, flags=field.flags | {"data-dependent"})


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Pause the search for garbage: every fact of an analysis is kept, so that it would find none."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


@_no_garbage()
def analyze_graph(
    graph: Graph, parameters: Mapping[str, int], trainable_params: int, *, count_all: bool = False
) -> Analysis:
    """Analyse a traced run, e.g. one whose nodes were changed to ask what would happen.

    Args:
        graph: The run.
        parameters: Elements of the model's parameters by qualified name, each tensor once.
        trainable_params: Elements of those that require a gradient.
        count_all: As in `analyze`.
    """
    from rfcalc.analysis.structure import structure_of

    states = propagate(graph)
    live = _live(graph, states)
    counts = count(graph, live, count_all=count_all)
    owned = ownership(graph, live, parameters)
    nodes = [n for n in graph.nodes if n.index in owned.constant_layers or is_row(n, live)]
    ops = {node.index: op_name(graph, node, states) for node in nodes}
    names = names_of(graph, nodes, ops)
    structure = structure_of(graph, names)
    fields: dict[int, Field] = {}
    origin: dict[int, frozenset[int]] = {}
    rows: list[Row] = []
    row_of = {node.index: i for i, node in enumerate(nodes)}
    # What an op without a row uses and computes is shown in the next row, so that the rows add up.
    params = macs = 0
    forms: list[list[State]] = []  # of each row: its output, then views of it
    for node in graph.nodes:
        params += owned.params.get(node.index, 0)
        macs += counts.macs.get(node.index, 0)
        sources = frozenset[int]().union(*(origin.get(v, frozenset()) for v in node.reads))
        if node.index not in row_of:
            origin.update(dict.fromkeys(node.outputs, sources))
            for row in sources if len(sources) == 1 else ():
                forms[row] += [states[value] for value in node.outputs]
            continue
        index = row_of[node.index]
        origin.update(dict.fromkeys(node.outputs, frozenset({index})))
        whole = graph.values[node.outputs[0]].shape
        rows.append(
            Row(
                index=index,
                name=names[node.index],
                op=ops[node.index],
                module=node.module,
                output_shape=_without_batch(whole, graph.batch),
                params=params,
                macs=macs,
                activation_bytes=4 * prod(whole) // graph.batch,
                field=_field(states[node.outputs[0]], graph, fields),
                node=node.index,
                sources=tuple(sorted(sources)),
            )
        )
        forms.append([states[node.outputs[0]]])
        params = macs = 0
    if rows and (params or macs):
        rows[-1] = replace(rows[-1], params=rows[-1].params + params, macs=rows[-1].macs + macs)
    outputs = {name: _field(states[v], graph, fields) for name, v in graph.outputs.items()}
    nearly_global = {i for i, node in enumerate(nodes) if is_nearly_global(node, rows, i)}
    ends = [origin.get(v, frozenset()) for v in graph.outputs.values()]
    judged = judge_last(rows, forms, ends, nearly_global, lambda state: _field(state, graph, fields))
    graph, unused_rows = _with_unused(graph, owned.unused, len(rows), {row.name for row in rows})
    return Analysis(
        input_size=graph.input_size,
        rows=(*rows, *unused_rows),
        field=list(outputs.values())[-1] if judged is None else judged.field,
        field_row=None if judged is None else judged.row,
        field_rivals=() if judged is None else judged.rivals,
        outputs=outputs,
        params=sum(parameters.values()),
        trainable_params=trainable_params,
        macs=sum(counts.macs.values()),
        peak_activation_bytes=counts.peak_bytes["float32"],
        peak_bytes=dict(counts.peak_bytes),
        uncounted_macs=dict(counts.uncounted),
        count_all=count_all,
        structure=structure,
        graph=graph,
    )


def _live(graph: Graph, states: dict[int, State]) -> dict[int, State]:
    """Return the states with a path, of no extent, for what depends on other inputs alone.

    The layers on them see nothing of this input, but they are no layers on constants.
    """
    if len(graph.inputs) < 2:
        return states
    reached = set(graph.inputs)
    for node in graph.nodes:
        if not reached.isdisjoint(node.reads):
            reached.update(v for v in node.outputs if states[v].paths or not _is_made(node))
    seen = Path(())
    return {
        v: replace(state, paths=(seen,)) if v in reached and not state.paths else state
        for v, state in states.items()
    }


def _is_made(node: Node) -> bool:
    """Whether an op makes content of its own (zeros_like) out of the shape of what it reads."""
    return op_of(node).kind is Kind.CONSTANT


def _with_unused(
    graph: Graph, unused_params: Mapping[str, int], first: int, taken: set[str]
) -> tuple[Graph, list[Row]]:
    """Return the run with a node, and a row, for each group of parameters that nothing uses."""
    nodes, values = list(graph.nodes), list(graph.values)
    rows: list[Row] = []
    nothing = field_of(constant(()), graph.input_size[1:])
    for name, params in unused_params.items():
        node, value = len(nodes), len(values)
        values.append(Value(value, (), torch.float32, node, None, None, value))
        nodes.append(Node(node, unused, (), {}, (value,), (), name, "", 1))
        rows.append(
            Row(
                index=first + len(rows),
                name=one_line(f"{name} (unused)" if name in taken else name),
                op="unused",
                module="",
                output_shape=(),
                params=params,
                macs=0,
                activation_bytes=0,
                field=nothing,
                node=node,
                sources=(),
            )
        )
    return replace(graph, nodes=tuple(nodes), values=tuple(values)) if rows else graph, rows


def _without_batch(shape: tuple[int, ...], batch: int) -> tuple[int, ...]:
    """Return a shape for one image; windows and tokens may have been folded into the first dimension."""
    if not shape or shape[0] == batch:
        return shape[1:]
    return (shape[0] // batch, *shape[1:]) if shape[0] % batch == 0 else shape


def _field(state: State, graph: Graph, known: dict[int, Field]) -> Field:
    """Return a state's field; activations and norms pass the same state on."""
    key = id(state)
    if key not in known:
        known[key] = field_of(state, graph.input_size[1:])
    return known[key]
