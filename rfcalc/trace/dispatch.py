"""What the recorder asks about an op call: does it alias, and what does it run on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

__all__ = [
    "SMALL",
    "Traits",
    "costly_on_meta",
    "is_sized_by_values",
    "map_tensors",
    "on_cpu",
    "to_meta",
    "traits",
    "zeros",
]

aten = torch.ops.aten

SMALL = 1 << 20
"""Elements up to which a tensor is computed or kept without a second thought."""


@dataclass(frozen=True)
class Traits:
    """What the schema and the tags of an op say of all its calls.

    Attributes:
        is_view: Its result shares the memory of its first operand.
        positions: Arguments that it writes to.
        names: Their names, by which they may be passed.
        is_sized_by_values: The shape of its result may depend on what its operands hold.
        answers: It puts the content of a tensor out as a Python number.
        is_random: Its result is another one at the next call.
    """

    is_view: bool
    positions: tuple[int, ...]
    names: tuple[str, ...]
    is_sized_by_values: bool
    answers: bool
    is_random: bool


@lru_cache(maxsize=4096)
def traits(func: Any) -> Traits:
    """Return the traits of an op."""
    schema, tags = func._schema, func.tags
    writes = tuple(
        i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write
    )
    names = tuple(schema.arguments[i].name for i in writes)
    is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
    return Traits(
        is_view or func in (aten._unsafe_view.default, aten._reshape_alias.default),
        writes,
        names,
        torch.Tag.dynamic_output_shape in tags,
        torch.Tag.data_dependent_output in tags,
        torch.Tag.nondeterministic_seeded in tags,
    )


def map_tensors(function: Callable[[torch.Tensor], Any], tree: Any) -> Any:
    """Return nested arguments with `function` applied to every tensor."""
    if isinstance(tree, torch.Tensor):
        return function(tree)
    kind = type(tree)
    if kind is tuple or kind is list:
        # Most arguments are numbers: they are passed by without a call of their own.
        return kind(
            [
                function(t)
                if isinstance(t, torch.Tensor)
                else map_tensors(function, t)
                if isinstance(t, list | tuple | dict)
                else t
                for t in tree
            ]
        )
    if isinstance(tree, dict):
        return {k: map_tensors(function, v) for k, v in tree.items()}
    return tree


def costly_on_meta(func: Any, args: tuple[Any, ...]) -> bool:
    """Return whether computing zeros is cheaper: the first Python meta kernel imports torch._dynamo."""
    if "torch._dynamo" in sys.modules or func.namespace != "aten" or traits(func).is_view:
        return False
    elements = 0

    def count(tensor: torch.Tensor) -> None:
        nonlocal elements
        elements += tensor.numel()

    map_tensors(count, args)
    return elements <= SMALL


def is_sized_by_values(func: Any, args: tuple[Any, ...]) -> bool:
    """Return whether the size of an op's output depends on what its inputs hold (nonzero)."""
    if not traits(func).is_sized_by_values:
        return False
    if func is not aten.index.Tensor:
        return True
    # x[places] is as long as `places`; x[mask] is as long as the mask has true elements.
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])


def to_meta(tensor: torch.Tensor) -> torch.Tensor:
    """Return a meta tensor of the same shape, strides and dtype."""
    if tensor.is_meta:
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def zeros(tensor: torch.Tensor) -> torch.Tensor:
    """Return zeros of a meta tensor's shape; any other tensor as it is."""
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else tensor


def on_cpu(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Make integer tensors with their content, though the forward asks for the input's (meta) device."""
    device = kwargs.get("device")
    if device is None or torch.device(device).type != "meta":
        return kwargs
    dtype = kwargs.get("dtype")
    counts = func._schema.name == "aten::arange" and all(isinstance(a, int) for a in args)
    if (dtype is None and counts) or (dtype is not None and not dtype.is_floating_point):
        return {**kwargs, "device": torch.device("cpu")}
    return kwargs
