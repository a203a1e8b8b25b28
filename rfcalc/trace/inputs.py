"""Inputs: what forward() is called with, named by shape, kind of element and place. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from rfcalc.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["Input", "arranged", "inputs_of", "parse_input"]

T = TypeVar("T")

TOKENS = "tokens"
SCALAR = "scalar"
KINDS = (
    TOKENS,
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    *("uint8", "int8", "int16", "int32", "int64", "bool"),
)
"""What the elements may be: integer tokens (int64, no channels), or an element type of PyTorch."""

_SIZES = "(C, length), (C, H, W), (C, D, H, W) or tokens (tokens:128)"

MAX_LENGTH = 2**31 - 1
"""Longest axis: PyTorch's kernels count positions in 32 bits."""


@dataclass(frozen=True)
class Input:
    """One tensor that forward() is called with.

    Attributes:
        shape: Shape of one sample, without the batch: (C, *spatial) for maps, (length,) for tokens or a
            vector, () for one number a sample, e.g. the time step of a diffusion network.
        kind: One of `KINDS`; "" is the model's own floating-point type.
        name: "" for the next positional argument; else the parameter of forward(). A dot leads into a dict
            ("batch.image") or, with a number, into a list ("maps.0").
    """

    shape: tuple[int, ...]
    kind: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse lengths and kinds that no tensor has.

        Raises:
            InputError: A length is not a whole number >= 1, or the kind is unknown.
        """
        if not all(type(n) is int and 0 < n <= MAX_LENGTH for n in self.shape):
            raise InputError(f"an input is {_SIZES}, all positive; got {self.shape}")
        if self.kind and self.kind not in KINDS:
            raise InputError(f"an input is of the kind {', '.join(KINDS)}; got {self.kind!r}")
        if self.name and not all(self.name.split(".")):
            raise InputError(f"an input is called NAME or NAME.KEY; got {self.name!r}")

    @property
    def size(self) -> tuple[int, ...]:
        """(channels, *spatial): tokens have one channel; a vector and a number have no spatial axis."""
        return (1, *self.shape) if self.kind == TOKENS else self.shape or (1,)

    @property
    def axes(self) -> int:
        """How many spatial axes a receptive field has on this input; 0: it has none."""
        return len(self.size) - 1

    @property
    def is_float(self) -> bool:
        """Whether gradients with respect to it exist."""
        return not self.kind or self.kind.startswith(("float", "bfloat", "complex"))

    def dtype(self, default: torch.dtype) -> torch.dtype:
        """Return the element type; `default` is the model's own."""
        import torch

        if not self.kind:
            return default
        named: torch.dtype = getattr(torch, "int64" if self.kind == TOKENS else self.kind)
        return named

    def __str__(self) -> str:
        """The input as --input takes it."""
        shape = "x".join(map(str, self.shape)) or SCALAR
        return f"{self.name}={self.kind}:{shape}".removeprefix("=").replace("=:", "=").removeprefix(":")


def parse_input(text: str) -> Input:
    """Read one --input: [NAME=][KIND:]SIZE.

    SIZE is 3x32x32 (channels first, without the batch), 10 for a vector, or "scalar" for one number a sample.

    Raises:
        InputError: The size is not whole numbers >= 1 joined by x, or the kind is unknown.
    """
    name, equals, rest = text.rpartition("=")
    kind, colon, size = rest.rpartition(":")
    if (equals and not name.strip()) or (colon and kind.strip() not in KINDS):
        raise InputError(f"--input {text}: write [NAME=][KIND:]SIZE, KIND one of {', '.join(KINDS)}")
    if size.strip() == SCALAR:
        return Input((), kind.strip(), name.strip())
    if "," in size and re.search("[x\u00d7]", size.lower()):
        raise InputError(f"--input {text}: give several inputs by several --input, one size each")
    parts = [part.strip() for part in re.split(r"[x,\u00d7]", size.strip().lower())]
    # More digits than any length has are refused before they are converted.
    if not all(part.isascii() and part.isdecimal() and len(part) <= 10 and int(part) > 0 for part in parts):
        raise InputError(
            f"--input {text}: write channels x height x width as whole numbers >= 1, such as 3x32x32 "
            "(1x16000 for one axis, 1x16x64x64 for three, tokens:128 for integers)"
        )
    return Input(tuple(int(part) for part in parts), kind.strip(), name.strip())


def inputs_of(given: Any) -> tuple[Input, ...]:
    """Return the inputs that `input_size` of `analyze` describes.

    Args:
        given: One size, (C, *spatial); or a sequence of inputs, positional; or a mapping from parameter of
            forward() to input, where a mapping within becomes a dict. An input is a size, a text as --input
            takes it ("tokens:128"), or an `Input`.

    Raises:
        InputError: It is none of these, or no input has a spatial axis.
    """
    found = tuple(_flattened(given, ""))
    named = [one.name for one in found if one.name]
    for name in named:
        if named.count(name) > 1 or any(other.startswith(f"{name}.") for other in named):
            raise InputError(f"the input {name!r} is given twice")
    if not any(one.axes for one in found):
        raise InputError(
            f"an input is {_SIZES}, all positive; got {', '.join(map(str, found)) or repr(given)}, "
            "without a spatial axis"
        )
    for one in found:
        if one.axes > 3:
            raise InputError(f"an input is {_SIZES}, all positive; got {one}, with {one.axes} spatial axes")
    return found


def _flattened(given: Any, name: str) -> list[Input]:
    if isinstance(given, Input):
        return [Input(given.shape, given.kind, given.name or name)]
    if isinstance(given, str):
        one = parse_input(given)
        return [Input(one.shape, one.kind, one.name or name)]
    if isinstance(given, Mapping):
        parts = [_flattened(item, f"{name}.{key}" if name else str(key)) for key, item in given.items()]
        return [one for part in parts for one in part]
    if isinstance(given, Sequence) or hasattr(given, "__iter__"):
        items = list(given)
        if items and not any(isinstance(item, int | float) for item in items):
            parts = [_flattened(item, f"{name}.{i}" if name else "") for i, item in enumerate(items)]
            return [one for part in parts for one in part]
        return [Input(tuple(items), "", name)]
    raise InputError(f"input_size is a size such as (3, 32, 32), or several; got {given!r}")


def arranged(inputs: Sequence[Input], tensors: Sequence[T]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the keyword arguments that a forward is called with.

    Args:
        inputs: The inputs.
        tensors: The tensor of each input, in their order.
    """
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for one, tensor in zip(inputs, tensors, strict=True):
        if not one.name:
            positional.append(tensor)
            continue
        *way, last = one.name.split(".")
        place = keywords
        for key in way:
            place = place.setdefault(key, {})
        place[last] = tensor
    return positional, {key: _listed(value) for key, value in keywords.items()}


def _listed(tree: Any) -> Any:
    """Return nested dicts whose keys are 0, 1, ... as lists."""
    if not isinstance(tree, dict):
        return tree
    items = {key: _listed(value) for key, value in tree.items()}
    if items and list(items) == [str(i) for i in range(len(items))]:
        return list(items.values())
    return items
