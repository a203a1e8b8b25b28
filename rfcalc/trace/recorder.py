"""The TorchDispatchMode that writes a forward pass down as a Graph without side effects."""

from __future__ import annotations

import math
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rfcalc.trace.choices import TooLongError
from rfcalc.trace.dispatch import (
    SMALL,
    aliasing,
    costly_on_meta,
    is_sized_by_values,
    map_tensors,
    on_cpu,
    to_meta,
    zeros,
)
from rfcalc.trace.graph import Ask, Graph, Node, Ref, Value, outside, write_view
from rfcalc.trace.inputs import Input
from rfcalc.trace.shapes import SHAPES, UnsupportedError

__all__ = ["DataDependentError", "Recorder"]

aten = torch.ops.aten
_ASKS_FOR_CONTENT = {aten._local_scalar_dense.default, aten.is_nonzero.default, aten.equal.default}
_POINTWISE_ENDINGS = (
    "relu_",
    "relu6_",
    "elu_",
    "silu_",
    "mish_",
    "tanh_",
    "sigmoid_",
    "swish_",
    "clamp_",
    "hardtanh_",
)


class DataDependentError(Exception):
    """The forward asks for the content of a tensor that was traced by its shape alone."""


@dataclass(eq=False)
class Tracked:
    """A tensor of the run: kept alive so that its id stays its own."""

    tensor: torch.Tensor
    value: int
    tainted: bool
    is_model: bool = False
    base: Tracked | None = None
    base_value: int = -1
    view: tuple[Any, tuple[Any, ...], dict[str, Any]] | None = None
    root: Tracked | None = None
    writes: int = 0


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every op of a forward.

    Args:
        model_tensors: Parameters and buffers by id, with their qualified names.
        location: Returns (path, class name, call number) of the module that is running.
        abstract: The input is a meta tensor: follow shapes instead of computing.
        parameters: Ids of the parameters: what depends on them alone is another in each initialisation.
        known: Ids of tensors that modules keep as plain attributes.
        answers: What forward() is given instead of the values that it asks for, in order; the tensors' own
            values from then on.
        until: The moment of time.monotonic() from which on a further op raises TooLongError.
    """

    def __init__(
        self,
        model_tensors: Mapping[int, str],
        location: Callable[[], tuple[str, str, int]],
        abstract: bool,
        parameters: frozenset[int] = frozenset(),
        known: frozenset[int] = frozenset(),
        answers: Sequence[bool | int | float] = (),
        until: float = math.inf,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asks: list[Ask] = []
        self._answers = answers
        self._until = until
        self._parameters = parameters
        self._known = known
        self._volatile: set[int] = set()
        self._left: list[Tracked] = []
        self._sized: list[str] = []
        self._shared: set[int] = set()
        self.nodes: list[Node] = []
        self.values: list[Value] = []
        self._model_tensors = model_tensors
        self._location = location
        self._abstract = abstract
        self._tracked: dict[int, Tracked] = {}
        self._stand_ins: dict[int, torch.Tensor] = {}
        self.failed_shapes: list[tuple[int, ...]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would wrap __torch_dispatch__ in a decorator that imports torch._dynamo, one to two seconds.
        return False

    def add_input(self, tensor: torch.Tensor) -> int:
        """Track the network's input and return its value number."""
        return self._track(tensor, None, tainted=True).value

    def value_of(self, tensor: torch.Tensor) -> int:
        """Return the value that a tensor holds now."""
        return self._current(self._find(tensor)).value

    def graph(
        self, inputs: Sequence[int], outputs: dict[str, int], batch: int, given: tuple[Input, ...]
    ) -> Graph:
        """Return what was recorded; receptive fields are asked for on the first input that has axes."""
        first = next(i for i, one in enumerate(given) if one.axes)
        return Graph(
            tuple(self.nodes),
            tuple(self.values),
            inputs[first],
            outputs,
            batch,
            given[first].size,
            given,
            tuple(inputs),
            asks=tuple(self.asks),
            sized=tuple(self._sized),
        )

    def leaves(self, tensor: torch.Tensor) -> None:
        """Note that the content of a tensor leaves PyTorch: `x.numpy()`, `x.tolist()`.

        Raises:
            DataDependentError: There is no content: only shapes are followed.
        """
        tracked = self._current(self._find(tensor))
        if not tracked.tainted:
            # Its memory may be written to from outside: `y.numpy()[:] = x.numpy()`.
            self._shared.add(id(tracked.root))
            return
        if self._abstract:
            raise DataDependentError
        self._left.append(tracked)

    def becomes(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Note that a tensor is another one from now on, without an op: `y.data = x`."""
        tracked = self._current(self._find(other))
        new = Tracked(tensor, tracked.value, tracked.tainted)
        new.base, new.base_value, new.root, new.view = (
            tracked.base,
            tracked.base_value,
            tracked.root,
            tracked.view,
        )
        self._tracked[id(tensor)] = new

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if time.monotonic() > self._until:
            raise TooLongError
        kwargs = kwargs or {}
        reads: list[Tracked] = []

        def ref(tensor: torch.Tensor) -> Ref:
            tracked = self._current(self._find(tensor))
            reads.append(tracked)
            return Ref(tracked.value)

        node_args = map_tensors(ref, args)
        node_kwargs = map_tensors(ref, kwargs)
        numbers = tuple(dict.fromkeys(t.value for t in reads))
        tainted = any(t.tainted for t in reads)
        is_view, write_positions, write_names = aliasing(func)
        written = [args[i] for i in write_positions if i < len(args) and isinstance(args[i], torch.Tensor)]
        written += [kwargs[n] for n in write_names if isinstance(kwargs.get(n), torch.Tensor)]
        try:
            result = self._run(func, args, kwargs, reads, tainted, written)
        except Exception:
            self.failed_shapes = [self.values[t.value].shape for t in reads]
            raise
        if tainted or self._is_volatile(func, numbers):
            if torch.Tag.data_dependent_output in func.tags and isinstance(result, bool | int | float):
                result = self._answered(result)
            elif is_sized_by_values(func, args):
                self._sized.append(_place())
            node = len(self.nodes)
            self._record(func, node_args, node_kwargs, reads, numbers, result, tainted, is_view, written)
            self._volatile.update(self.nodes[node].outputs)
        else:
            self._record(func, node_args, node_kwargs, reads, numbers, result, tainted, is_view, written)
            if self._left and func._schema.name == "aten::set_":
                # torch.load() and pickle give a tensor the memory of a file.
                self._returned(result)
        return result

    def _is_volatile(self, func: Any, numbers: tuple[int, ...]) -> bool:
        """Whether a result may be another in the next run: it depends on weights or on chance."""
        if torch.Tag.nondeterministic_seeded in func.tags:
            return True
        return any(number in self._volatile for number in numbers)

    def _answered(self, value: Any) -> Any:
        """Return what forward() gets for a value that it asks for, and note that it asked."""
        number = len(self.asks)
        if number < len(self._answers):
            value = type(value)(self._answers[number])
        self.asks.append(Ask(_place(), value, _is_asked_by_a_module()))
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
        root = self._find(tensor).root
        return root is not None and root.is_model

    def _stand_in(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._stand_ins.get(id(tensor), tensor)

    def _run_on_meta(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an op for its output shapes alone."""
        if torch.Tag.dynamic_output_shape in func.tags or torch.Tag.data_dependent_output in func.tags:
            raise DataDependentError
        if costly_on_meta(func, args):
            return map_tensors(to_meta, func(*map_tensors(zeros, args), **map_tensors(zeros, kwargs)))
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": torch.device("meta")}
        return func(*map_tensors(to_meta, args), **map_tensors(to_meta, kwargs))

    def _record(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        reads: list[Tracked],
        numbers: tuple[int, ...],
        result: Any,
        tainted: bool,
        is_view: bool,
        written: list[torch.Tensor],
    ) -> None:
        index = len(self.nodes)
        self.nodes.append(None)  # type: ignore[arg-type]
        made: list[int] = []
        written_ids = {id(t) for t in written}
        for out in result if isinstance(result, tuple | list) else (result,):
            if not isinstance(out, torch.Tensor):
                continue
            known = self._tracked.get(id(out))
            if known is not None and id(out) in written_ids:
                known.value = self._new_value(
                    out, index, known.tainted or tainted, self.values[known.value].storage
                )
                known.tainted |= tainted
                made.append(known.value)
                continue
            base = reads[0] if is_view and reads else None
            tracked = self._track(out, index, tainted, base)
            if base is not None:
                tracked.view = (func, args, kwargs)
            made.append(tracked.value)
        path, module, call = self._location()
        self.nodes[index] = Node(
            index,
            func,
            args,
            kwargs,
            tuple(made),
            numbers,
            path,
            module,
            call,
        )
        if not str(func._schema.name).endswith(_POINTWISE_ENDINGS):
            for tensor in written:
                self._write_back(self._tracked[id(tensor)])

    def _track(
        self, tensor: torch.Tensor, producer: int | None, tainted: bool, base: Tracked | None = None
    ) -> Tracked:
        storage = self.values[base.value].storage if base is not None else None
        tracked = Tracked(tensor, self._new_value(tensor, producer, tainted, storage), tainted)
        tracked.root = tracked
        if base is not None:
            tracked.base, tracked.base_value, tracked.root = base, base.value, base.root
        self._tracked[id(tensor)] = tracked
        return tracked

    def _new_value(
        self, tensor: torch.Tensor, producer: int | None, tainted: bool, storage: int | None
    ) -> int:
        index = len(self.values)
        name = self._model_tensors.get(id(tensor)) if producer is None else None
        keep = not tainted and not tensor.is_meta and (name is not None or tensor.numel() <= SMALL)
        self.values.append(
            Value(
                index,
                tuple(tensor.shape),
                tensor.dtype,
                producer,
                name,
                tensor if keep else None,
                index if storage is None else storage,
            )
        )
        return index

    def _find(self, tensor: torch.Tensor) -> Tracked:
        tracked = self._tracked.get(id(tensor))
        if tracked is None:
            # A parameter, a buffer, or a tensor that was made before the run, unless the content of another
            # has left PyTorch: it may then have come back in this one.
            own = id(tensor) in self._model_tensors or id(tensor) in self._known
            if type(tensor) not in (torch.Tensor, torch.nn.Parameter) and not own:
                # x.as_subclass(T) is no op; which tensor it was called on is not known.
                self._left += [t for t in self._tracked.values() if t.tainted]
            if self._left and not own:
                return self._returned(tensor)
            tracked = self._track(tensor, None, tainted=False)
            tracked.is_model = True
            if id(tensor) in self._parameters:
                self._volatile.add(tracked.value)
        elif self._left and not tracked.tainted and id(tracked.root) in self._shared:
            return self._returned(tensor)
        return tracked

    def _returned(self, tensor: torch.Tensor) -> Tracked:
        """Track a tensor from outside of PyTorch as one that anything which left may have a part in."""
        index = len(self.nodes)
        left = list({id(t): t for t in self._left}.values())
        numbers = tuple(t.value for t in left)
        tracked = self._track(tensor, index, tainted=True)
        args = ([Ref(number) for number in numbers],)
        self.nodes.append(Node(index, outside, args, {}, (tracked.value,), numbers, *self._location()))
        return tracked

    def _current(self, tracked: Tracked) -> Tracked:
        """Bring a view up to date after its base, or another view of it, was changed in place."""
        if tracked.base is None or tracked.root is None or tracked.root.writes == 0:
            return tracked
        base = self._current(tracked.base)
        if base.value != tracked.base_value and tracked.view is not None:
            func, args, kwargs = tracked.view
            old = tracked.base_value
            args = _replace(args, old, base.value)
            tracked.tainted |= base.tainted
            tracked.value = self._synthetic(func, args, kwargs, (base.value,), tracked.tensor, tracked)
            tracked.base_value = base.value
            tracked.view = (func, args, kwargs)
        return tracked

    def _write_back(self, tracked: Tracked) -> None:
        """Put a changed view into the tensors that it is a view of."""
        if tracked.root is not None:
            tracked.root.writes += 1
        while tracked.base is not None and tracked.view is not None:
            base = tracked.base
            base.tainted |= tracked.tainted
            args = (Ref(base.value), Ref(tracked.value), tracked.view)
            base.value = self._synthetic(write_view, args, {}, (base.value, tracked.value), base.tensor, base)
            tracked.base_value = base.value
            tracked = base

    def _synthetic(
        self,
        op: Any,
        args: Any,
        kwargs: dict[str, Any],
        reads: tuple[int, ...],
        tensor: torch.Tensor,
        of: Tracked,
    ) -> int:
        index = len(self.nodes)
        value = self._new_value(tensor, index, of.tainted, self.values[of.value].storage)
        self.nodes.append(Node(index, op, args, kwargs, (value,), reads, *self._location()))
        return value


def _replace(tree: Any, old: int, new: int) -> Any:
    if isinstance(tree, Ref):
        return Ref(new) if tree.value == old else tree
    if isinstance(tree, list | tuple):
        return type(tree)(_replace(t, old, new) for t in tree)
    return tree


_NOT_THE_USERS = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parents[1]}{os.sep}")
"""With the separator: the folder of torchvision begins as that of torch does."""


_MODULES = f"{Path(torch.nn.__file__).parent}{os.sep}"


def _is_asked_by_a_module() -> bool:
    """Return whether the innermost line that is not rfcalc's belongs to torch.nn."""
    for frame, _ in traceback.walk_stack(None):
        file = frame.f_code.co_filename
        if not file.startswith(_NOT_THE_USERS[1]):
            return file.startswith(_MODULES)
    return False


def _place() -> str:
    """Return "model.py:12", the innermost line that runs now and belongs to neither PyTorch nor rfcalc."""
    for frame, line in traceback.walk_stack(None):
        file = frame.f_code.co_filename
        if not file.startswith(_NOT_THE_USERS):
            return f"{Path(file).name}:{line}"
    return "forward()"
