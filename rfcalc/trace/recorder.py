"""The TorchDispatchMode that writes a forward pass down as a Graph without side effects."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rfcalc.trace.choices import TooLongError
from rfcalc.trace.dispatch import (
    costly_on_meta,
    is_sized_by_values,
    map_tensors,
    on_cpu,
    to_meta,
    traits,
    zeros,
)
from rfcalc.trace.graph import Ask, Graph, Ref
from rfcalc.trace.inputs import Input
from rfcalc.trace.places import is_asked_by_a_module, place
from rfcalc.trace.shapes import SHAPES, UnsupportedError
from rfcalc.trace.tape import Tape, Tracked

__all__ = ["DataDependentError", "Recorder"]

aten = torch.ops.aten
_ASKS_FOR_CONTENT = {aten._local_scalar_dense.default, aten.is_nonzero.default, aten.equal.default}


class DataDependentError(Exception):
    """The forward asks for the content of a tensor that was traced by its shape alone."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every op of a forward.

    Args:
        tape: Where the ops, the values and the tensors that hold them are written.
        abstract: The input is a meta tensor: follow shapes instead of computing.
        answers: What forward() is given instead of the values that it asks for, in order; the tensors' own
            values from then on.
        until: The moment of time.monotonic() from which on a further op raises TooLongError.
    """

    def __init__(
        self,
        tape: Tape,
        abstract: bool,
        answers: Sequence[bool | int | float] = (),
        until: float = math.inf,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asks: list[Ask] = []
        self.failed_shapes: list[tuple[int, ...]] = []
        self._tape = tape
        self._abstract = abstract
        self._answers = answers
        self._until = until
        self._sized: list[str] = []
        self._left: list[str] = []
        self._stand_ins: dict[int, torch.Tensor] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would wrap __torch_dispatch__ in a decorator that imports torch._dynamo, one to two seconds.
        return False

    def add_input(self, tensor: torch.Tensor) -> int:
        """Track the network's input and return its value number."""
        return self._tape.track(tensor, None, tainted=True).value

    def value_of(self, tensor: torch.Tensor) -> int:
        """Return the value that a tensor holds now."""
        return self._tape.current(tensor).value

    def graph(
        self, inputs: Sequence[int], outputs: dict[str, int], batch: int, given: tuple[Input, ...]
    ) -> Graph:
        """Return what was recorded; receptive fields are asked for on the first input that has axes."""
        first = next(i for i, one in enumerate(given) if one.axes)
        return Graph(
            tuple(self._tape.nodes),
            tuple(self._tape.values),
            inputs[first],
            outputs,
            batch,
            given[first].size,
            given,
            tuple(inputs),
            asks=tuple(self.asks),
            sized=tuple(self._sized),
            left=tuple(self._left),
        )

    def leaves(self, tensor: torch.Tensor) -> None:
        """Note that the content of a tensor leaves PyTorch: `x.numpy()`, `x.tolist()`.

        Raises:
            DataDependentError: There is no content: only shapes are followed.
        """
        if not self._tape.leaves(tensor):
            return
        if self._abstract:
            raise DataDependentError
        self._left.append(place())

    def becomes(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Note that a tensor is another one from now on, without an op: `y.data = x`."""
        self._tape.becomes(tensor, other)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if time.monotonic() > self._until:
            raise TooLongError
        kwargs = kwargs or {}
        reads: list[Tracked] = []

        def ref(tensor: torch.Tensor) -> Ref:
            tracked = self._tape.current(tensor)
            reads.append(tracked)
            return Ref(tracked.value)

        node_args = map_tensors(ref, args)
        node_kwargs = map_tensors(ref, kwargs) if kwargs else {}
        numbers = tuple(dict.fromkeys(t.value for t in reads))
        tainted = any(t.tainted for t in reads)
        known = traits(func)
        written = [args[i] for i in known.positions if i < len(args) and isinstance(args[i], torch.Tensor)]
        written += [kwargs[n] for n in known.names if isinstance(kwargs.get(n), torch.Tensor)]
        try:
            result = self._run(func, args, kwargs, reads, tainted, written)
        except Exception:
            self.failed_shapes = [self._tape.values[t.value].shape for t in reads]
            raise
        # A result may be another in the next run where it depends on weights or on chance.
        varies = tainted or known.is_random or not self._tape.volatile.isdisjoint(numbers)
        if varies:
            if known.answers and isinstance(result, bool | int | float):
                result = self._answered(result)
            elif is_sized_by_values(func, args):
                self._sized.append(place())
        node, view = len(self._tape.nodes), known.is_view
        self._tape.record(func, node_args, node_kwargs, reads, numbers, result, tainted, view, written)
        if varies:
            self._tape.volatile.update(self._tape.nodes[node].outputs)
        elif self._tape.left and func._schema.name == "aten::set_":
            # torch.load() and pickle give a tensor the memory of a file.
            self._tape.returned(result)
        return result

    def _answered(self, value: Any) -> Any:
        """Return what forward() gets for a value that it asks for, and note that it asked."""
        number = len(self.asks)
        if number < len(self._answers):
            value = type(value)(self._answers[number])
        self.asks.append(Ask(place(), value, is_asked_by_a_module()))
        return value

    def _run(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        reads: list[Tracked],
        tainted: bool,
        written: list[torch.Tensor],
    ) -> Any:
        if self._abstract and tainted:
            if func in _ASKS_FOR_CONTENT:
                raise DataDependentError
            shape = SHAPES.get(func)
            if shape is not None:
                try:
                    return shape(*args, **kwargs)
                except (UnsupportedError, TypeError):
                    pass
            result = self._run_on_meta(func, args, kwargs)
        else:
            if self._abstract and not reads:
                kwargs = on_cpu(func, args, kwargs)
            if self._stand_ins or any(self._is_models(t) for t in written):
                # The model's own tensors are never written to: copies take their place from then on.
                for tensor in written:
                    if self._is_models(tensor):
                        self._stand_ins.setdefault(id(tensor), tensor.detach().clone())
                args, kwargs = map_tensors(self._stand_in, args), map_tensors(self._stand_in, kwargs)
            result = func(*args, **kwargs)
        # An in-place op hands back what it was given, whatever it ran on.
        return written[0] if len(written) == 1 and isinstance(result, torch.Tensor) else result

    def _is_models(self, tensor: torch.Tensor) -> bool:
        root = self._tape.find(tensor).root
        return root is not None and root.is_model

    def _stand_in(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._stand_ins.get(id(tensor), tensor)

    def _run_on_meta(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an op for its output shapes alone."""
        known = traits(func)
        if known.is_sized_by_values or known.answers:
            raise DataDependentError
        if costly_on_meta(func, args):
            return map_tensors(to_meta, func(*map_tensors(zeros, args), **map_tensors(zeros, kwargs)))
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": torch.device("meta")}
        return func(*map_tensors(to_meta, args), **map_tensors(to_meta, kwargs))
