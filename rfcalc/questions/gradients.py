"""The gradient oracle: what a unit really depends on, by float64 autograd, op by op, free of any rule.

A unit's gradient is pulled back through the recorded ops in reverse. After each op's vector-Jacobian product
it is binarised: what is not zero becomes a fresh random positive number, so that nothing underflows,
overflows or cancels. Weights are random and positive, biases have no part, activations pass the gradient on,
max pooling is a sum over its window. An exact zero then means that there is no path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind
from rfcalc.trace.graph import Graph, Node, Ref, write_view

__all__ = ["Oracle", "UnreachableError", "is_number"]

# The family of an op is read from the registry; what passes back through it is worked out here alone.
_PASSED_ON = frozenset({Kind.COPY, Kind.DROPOUT, Kind.ACTIVATION})


class UnreachableError(Exception):
    """No gradient passes through an op."""


class Oracle:
    """Pulls units of one recorded run back to its input.

    Args:
        graph: The run.
        seed: Of the random weights, activations and gradients.
    """

    def __init__(self, graph: Graph, seed: int = 0) -> None:
        self._graph = graph
        self._generator = torch.Generator().manual_seed(seed)
        self._pulls: dict[int, Callable[[list[torch.Tensor | None]], dict[int, torch.Tensor]]] = {}
        self._live = _live_values(graph)
        self._constants: dict[int, torch.Tensor] = {}

    def pixels(self, value: int, chosen: torch.Tensor) -> torch.Tensor:
        """Return which input pixels some elements depend on.

        Args:
            value: Number of the tensor.
            chosen: Boolean tensor of its shape: the elements.

        Returns:
            A boolean tensor of the input's spatial shape; batch and channels unioned.

        Raises:
            UnreachableError: An op on the way cannot be differentiated.
        """
        graph = self._graph
        pending: dict[int, torch.Tensor] = {value: self._binarised(chosen.to(torch.float64))}
        producer = graph.values[value].producer
        for node in reversed(graph.nodes[: -1 if producer is None else producer + 1]):
            if not any(v in pending for v in node.outputs):
                continue
            cotangents = [pending.pop(v, None) for v in node.outputs]
            for source, gradient in self._pull(node, cotangents).items():
                gradient = gradient + pending[source] if source in pending else gradient
                pending[source] = self._binarised(gradient)
        reached = pending.get(graph.input)
        spatial = graph.input_size[1:]
        if reached is None:
            return torch.zeros(spatial, dtype=torch.bool)
        return (reached != 0).flatten(0, 1).any(0)

    def _binarised(self, gradient: torch.Tensor) -> torch.Tensor:
        # Interpolation weights that are zero but for rounding are no paths.
        support = gradient.abs() > 1e-12 * gradient.abs().max()
        return support * self._random(gradient.shape)

    def _random(self, shape: Sequence[int]) -> torch.Tensor:
        return 0.5 + torch.rand(tuple(shape), generator=self._generator, dtype=torch.float64)

    def _like(self, value: int) -> torch.Tensor:
        """Return random positive numbers of a value's shape; complex ones where it is complex."""
        entry = self._graph.values[value]
        numbers = self._random(entry.shape)
        return torch.complex(numbers, self._random(entry.shape)) if entry.dtype.is_complex else numbers

    def _pull(self, node: Node, cotangents: list[torch.Tensor | None]) -> dict[int, torch.Tensor]:
        if node.index not in self._pulls:
            try:
                self._pulls[node.index] = self._pullback(node)
            except Exception as error:
                # The network's own ops may raise anything; the row is then reported as not reached.
                raise UnreachableError(f"{node.name}: {error}") from error
        try:
            return self._pulls[node.index](cotangents)
        except RuntimeError as error:  # an op whose derivative PyTorch does not have
            raise UnreachableError(f"{node.name}: {error}") from error

    def _pullback(self, node: Node) -> Callable[[list[torch.Tensor | None]], dict[int, torch.Tensor]]:
        """Return the vector-Jacobian product of one node, its forward run once."""
        sources = [v for v in node.reads if v in self._live]
        if _is_pointwise(node):
            shapes = {v: self._graph.values[v].shape for v in sources}

            def spread(cotangents: list[torch.Tensor | None]) -> dict[int, torch.Tensor]:
                cotangent = next(c for c in cotangents if c is not None)
                return {v: cotangent.sum_to_size(shape) for v, shape in shapes.items()}

            return spread
        leaves = {v: self._like(v).requires_grad_() for v in sources}
        with torch.enable_grad():
            outputs = self._forward(node, {v: leaf.clone() for v, leaf in leaves.items()})
        if not any(out.requires_grad for out in outputs):
            raise UnreachableError("it has no gradient")

        def pull(cotangents: list[torch.Tensor | None]) -> dict[int, torch.Tensor]:
            pairs = [
                # Both parts of a complex number pull: a real cotangent would see the real part alone.
                (o, torch.complex(c, c) if o.dtype.is_complex else c)
                for o, c in zip(outputs, cotangents, strict=True)
                if c is not None and o.requires_grad
            ]
            if not pairs:
                return {}
            gradients = torch.autograd.grad(
                [o for o, _ in pairs],
                list(leaves.values()),
                [c for _, c in pairs],
                retain_graph=True,
                allow_unused=True,
            )
            return {v: g for v, g in zip(leaves, _optional(gradients), strict=True) if g is not None}

        return pull

    def _forward(self, node: Node, live: dict[int, torch.Tensor]) -> list[torch.Tensor]:
        def tensors(tree: Any) -> Any:
            if isinstance(tree, Ref):
                return live[tree.value] if tree.value in live else self._constant(tree.value)
            if isinstance(tree, list | tuple):
                return type(tree)(tensors(t) for t in tree)
            return tree

        args = tensors(node.args)
        kwargs = {k: tensors(v) for k, v in node.kwargs.items() if k not in ("device", "dtype", "pin_memory")}
        name = node.name
        if node.op is write_view:
            base, child, (view, view_args, view_kwargs) = args[0], args[1], node.args[2]
            view(base, *view_args[1:], **view_kwargs).copy_(child)
            return [base]
        if name == "copy":
            return [args[1].expand(args[0].shape)]
        if op_of(node).kind is Kind.MAX_POOL:
            return [_window_sum(args, self._graph.values[node.outputs[0]].shape, name)] * len(node.outputs)
        if op_of(node).kind is Kind.EXTREMUM:
            return [args[0].sum(*args[1:3], **kwargs) if len(args) > 1 or kwargs else args[0].sum()] * len(
                node.outputs
            )
        if name == "mkldnn_rnn_layer":
            return self._steps(node, args[0], backwards=args[7])
        if name in ("_softmax", "_log_softmax"):
            return [torch.softmax(args[0], args[1])]
        result = node.op(*args, **kwargs)
        return [
            r
            for r in (result if isinstance(result, tuple | list) else (result,))
            if isinstance(r, torch.Tensor)
        ]

    def _steps(self, node: Node, x: torch.Tensor, backwards: bool) -> list[torch.Tensor]:
        """Return a recurrent layer as running sums over time: the fused op has no gradient in float64.

        Gates and weights are positive and never zero, so that a step adds what it reads to the state.
        """
        total = x.sum(2, keepdim=True)
        running = total.flip(0).cumsum(0).flip(0) if backwards else total.cumsum(0)
        shapes = [self._graph.values[v].shape for v in node.outputs]
        last = total.sum(0)
        return [running.expand(shapes[0]), *(last.expand(s) if len(s) > 1 else last for s in shapes[1:])]

    def _constant(self, value: int) -> torch.Tensor:
        """Return weights as random positive numbers, and whatever else is known (indices, masks) as it is."""
        if value not in self._constants:
            entry = self._graph.values[value]
            if entry.constant is not None and not entry.dtype.is_floating_point:
                self._constants[value] = entry.constant.detach().cpu()
            elif is_number(entry.dtype):
                self._constants[value] = self._like(value)
            else:
                raise UnreachableError("it reads a tensor that is not known")
        return self._constants[value]


def _optional(gradients: Sequence[torch.Tensor]) -> Sequence[torch.Tensor | None]:
    # allow_unused=True leaves None, which the annotation of torch.autograd.grad does not say.
    return gradients


def _live_values(graph: Graph) -> frozenset[int]:
    """Return the float values that the input may have a part in."""
    live = {graph.input}
    for node in graph.nodes:
        if any(v in live for v in node.reads) and op_of(node).kind is not Kind.CONSTANT:
            live.update(v for v in node.outputs if is_number(graph.values[v].dtype))
    return frozenset(live)


def is_number(dtype: torch.dtype) -> bool:
    """Return whether gradients of this element type exist."""
    return dtype.is_floating_point or dtype.is_complex


def _is_pointwise(node: Node) -> bool:
    if node.op is write_view or op_of(node).kind is Kind.CONSTANT:
        return False
    if op_of(node).kind in _PASSED_ON or torch.Tag.pointwise in node.op.tags:
        return True
    training = node.args[5] if node.name == "native_batch_norm" else False
    return "batch_norm" in node.name and not training


def _window_sum(args: tuple[Any, ...], shape: tuple[int, ...], name: str) -> torch.Tensor:
    """Return the sum over each window of a max pooling, as a depthwise convolution with ones."""
    x = args[0]
    if "adaptive" in name:
        pools = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
        pool: Any = pools[len(args[1])]
        out: torch.Tensor = pool(x, args[1])
        return out
    axes = len(args[1])
    kernel = list(args[1])
    stride = list(args[2]) if len(args) > 2 and args[2] else kernel
    padding = [*args[3]] if len(args) > 3 else [0]
    dilation = [*args[4]] if len(args) > 4 else [1]
    stride, padding, dilation = (v * axes if len(v) == 1 else v for v in (stride, padding, dilation))
    amounts: list[int] = []
    for d in reversed(range(axes)):
        n, n_out = x.shape[d - axes], shape[d - axes]
        # ceil_mode: the last window may hang over the end.
        last = (n_out - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + 1
        amounts += [padding[d], max(0, last - n - padding[d])]
    x = F.pad(x, amounts)
    convolution: Any = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    ones = torch.ones(x.shape[1], 1, *kernel, dtype=x.dtype)
    summed: torch.Tensor = convolution(x, ones, stride=stride, dilation=dilation, groups=x.shape[1])
    for d in range(axes):
        summed = summed.narrow(d - axes, 0, shape[d - axes])
    return summed
