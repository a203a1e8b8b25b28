"""Graph -> Analysis: one row for each op, and the totals."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rfcalc.analysis.counts import count, weight_bytes
from rfcalc.analysis.judged import is_nearly_global, judge_last
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
from rfcalc.trace.prepare import prepared
from rfcalc.trace.trace import trace

if TYPE_CHECKING:
    from rfcalc.analysis.structure import Structure

__all__ = ["Analysis", "Row", "analyze", "analyze_graph"]


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
    graph = trace(model, given, train=train)
    unique = dict(model.named_parameters())
    trainable = sum(p.numel() for p in unique.values() if p.requires_grad)
    sizes = {name: parameter.numel() for name, parameter in unique.items()}

    def seen(run: Graph) -> Analysis:
        found = analyze_graph(run, sizes, trainable, count_all=count_all)
        return replace(found, weight_bytes=weight_bytes([tuple(p.shape) for p in unique.values()]))

    runs = [_on_every_input(seen(run), seen) for run in (graph, *graph.others)]
    if len(runs) == 1:
        return runs[0]
    # Which of them happens depends on the content of the input. The largest stands for all, so that the
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
    names = names_of(graph, nodes, states)
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
                op=op_name(graph, node, states),
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
