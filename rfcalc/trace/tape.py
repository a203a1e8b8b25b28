"""What a run has made so far: its nodes and values, and which tensor holds which value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rfcalc.trace.dispatch import SMALL
from rfcalc.trace.graph import Node, Ref, Value, outside, write_view

__all__ = ["Tape", "Tracked"]

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
"""In-place ops that change no geometry: a view's base keeps its value when they write through it."""


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


class Tape:
    """The nodes and values of a run, in order, and the tensors that hold them.

    Args:
        model_tensors: Parameters and buffers by id, with their qualified names.
        location: Returns (path, class name, call number) of the module that is running.
        parameters: Ids of the parameters: what depends on them alone is another in each initialisation.
        kept: Returns the ids of tensors that modules keep as plain attributes.

    Attributes:
        nodes: The ops so far.
        values: The tensors' contents so far, by number.
        volatile: Numbers of values that may be others in the next run: they depend on weights or on chance.
        left: Tensors that depend on the input and whose content has left PyTorch.
    """

    def __init__(
        self,
        model_tensors: Mapping[int, str],
        location: Callable[[], tuple[str, str, int]],
        parameters: frozenset[int],
        kept: Callable[[], frozenset[int]],
    ) -> None:
        self.nodes: list[Node] = []
        self.values: list[Value] = []
        self.volatile: set[int] = set()
        self.left: list[Tracked] = []
        self._shared: set[int] = set()
        self._tracked: dict[int, Tracked] = {}
        self._model_tensors = model_tensors
        self._location = location
        self._parameters = parameters
        self._kept = kept

    def current(self, tensor: torch.Tensor) -> Tracked:
        """Return what is known of a tensor, brought up to date where it is a view of a changed one."""
        return self._current(self.find(tensor))

    def leaves(self, tensor: torch.Tensor) -> bool:
        """Note that the content of a tensor leaves PyTorch; return whether it depends on the input."""
        tracked = self.current(tensor)
        if tracked.tainted:
            self.left.append(tracked)
        else:
            # Its memory may be written to from outside: `y.numpy()[:] = x.numpy()`.
            self._shared.add(id(tracked.root))
        return tracked.tainted

    def becomes(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Note that a tensor is another one from now on, without an op: `y.data = x`."""
        tracked = self.current(other)
        new = Tracked(tensor, tracked.value, tracked.tainted)
        new.base, new.base_value, new.root, new.view = (
            tracked.base,
            tracked.base_value,
            tracked.root,
            tracked.view,
        )
        self._tracked[id(tensor)] = new

    def record(
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
        """Append an op as a node; tensors that it wrote in place hold new values from then on."""
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
            tracked = self.track(out, index, tainted, base)
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

    def track(
        self, tensor: torch.Tensor, producer: int | None, tainted: bool, base: Tracked | None = None
    ) -> Tracked:
        """Give a tensor a value of its own; as a view of `base`, it shares the storage of that."""
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

    def find(self, tensor: torch.Tensor) -> Tracked:
        """Return what is known of a tensor; one that was not met before is tracked now."""
        tracked = self._tracked.get(id(tensor))
        if tracked is None:
            # A parameter, a buffer, or a tensor that was made before the run, unless the content of another
            # has left PyTorch: it may then have come back in this one.
            own = id(tensor) in self._model_tensors or id(tensor) in self._kept()
            if type(tensor) not in (torch.Tensor, torch.nn.Parameter) and not own:
                # x.as_subclass(T) is no op; which tensor it was called on is not known.
                self.left += [t for t in self._tracked.values() if t.tainted]
            if self.left and not own:
                return self.returned(tensor)
            tracked = self.track(tensor, None, tainted=False)
            tracked.is_model = True
            if id(tensor) in self._parameters:
                self.volatile.add(tracked.value)
        elif self.left and not tracked.tainted and id(tracked.root) in self._shared:
            return self.returned(tensor)
        return tracked

    def returned(self, tensor: torch.Tensor) -> Tracked:
        """Track a tensor from outside of PyTorch as one that anything which left may have a part in."""
        index = len(self.nodes)
        left = list({id(t): t for t in self.left}.values())
        numbers = tuple(t.value for t in left)
        tracked = self.track(tensor, index, tainted=True)
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
