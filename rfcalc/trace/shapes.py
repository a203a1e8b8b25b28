"""Output shapes of the commonest ops, so that tracing neither computes nor loads anything.

A meta tensor's own kernel would do, but many of those are Python and import torch._dynamo or sympy on first
use, more than a second. An op that is not here runs on its meta kernel. A function refuses
(`UnsupportedError`) whatever is not plainly right: the meta kernel then decides. Where shapes plainly do not
fit (`MismatchError`), a run on real tensors words the error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["SHAPES", "MismatchError", "UnsupportedError"]

aten = torch.ops.aten
Shape = tuple[int, ...]


class UnsupportedError(Exception):
    """The shape function does not know this case."""


class MismatchError(Exception):
    """The shapes of an op's arguments do not fit together."""


def _need(condition: bool) -> None:
    if not condition:
        raise UnsupportedError


def _fit(condition: bool) -> None:
    if not condition:
        raise MismatchError


def _new(shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    return torch.empty(tuple(shape), dtype=like.dtype, device="meta")


def _same(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    _need(not x.is_complex())  # abs() of a complex tensor is real
    return torch.empty(x.shape, dtype=x.dtype, device="meta")


def _inplace(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return x


def _broadcast(x: Any, y: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    _need(isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor | int | float))
    if not isinstance(y, torch.Tensor):
        _need(x.dtype.is_floating_point)
        return _same(x)
    _need(x.dtype == y.dtype and not kwargs.keys() - {"alpha"})
    if x.shape == y.shape:
        return _same(x)
    shape = []
    small, large = sorted((x.shape, y.shape), key=len)
    small = (1,) * (len(large) - len(small)) + tuple(small)
    for a, b in zip(small, large, strict=True):
        _fit(a == b or a == 1 or b == 1)
        shape.append(b if a == 1 else a)
    return _new(shape, x)


def _broadcast_into(x: Any, y: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    out = _broadcast(x, y, *args, **kwargs)
    _need(out.shape == x.shape)
    return x  # type: ignore[no-any-return]


def _spread(value: Sequence[int], count: int) -> list[int]:
    return [value[0]] * count if len(value) == 1 else list(value)


def _convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> torch.Tensor:
    axes = weight.dim() - 2
    _need(x.dim() == axes + 2 and x.dtype == weight.dtype and x.numel() > 0)
    channels_in = weight.shape[0] if transposed else weight.shape[1] * groups
    channels_out = weight.shape[1] * groups if transposed else weight.shape[0]
    _fit(x.shape[1] == channels_in)
    _need(bias is None or bias.shape == (channels_out,))
    shape = [x.shape[0], channels_out]
    settings = (_spread(v, axes) for v in (stride, padding, dilation, output_padding))
    for n, k, s, p, d, extra in zip(x.shape[2:], weight.shape[2:], *settings, strict=True):
        if transposed:
            shape.append((n - 1) * s - 2 * p + d * (k - 1) + extra + 1)
            _need(shape[-1] > 0 and extra < max(s, d))
        else:
            room = n + 2 * p - d * (k - 1) - 1
            _need(room >= 0)
            shape.append(room // s + 1)
    return _new(shape, x)


def _batch_norm(
    x: torch.Tensor, weight: torch.Tensor | None, *args: Any, **kwargs: Any
) -> tuple[torch.Tensor, ...]:
    _need(x.dim() >= 2 and (weight is None or weight.shape == (x.shape[1],)))
    empty = torch.empty(0, dtype=x.dtype, device="meta")
    return _same(x), empty, empty.clone()


def _layer_norm(x: torch.Tensor, shape: list[int], *args: Any) -> tuple[torch.Tensor, ...]:
    _need(list(x.shape[x.dim() - len(shape) :]) == list(shape))
    kept = (*x.shape[: x.dim() - len(shape)], *(1 for _ in shape))
    return _same(x), _new(kept, x), _new(kept, x)


def _group_norm(
    x: torch.Tensor, weight: Any, bias: Any, n: int, c: int, hw: int, groups: int, eps: float
) -> tuple[torch.Tensor, ...]:
    _need(c % groups == 0 and (weight is None or weight.shape == (c,)))
    return _same(x), _new((n, groups), x), _new((n, groups), x)


def _cat(tensors: list[torch.Tensor], dim: int = 0) -> torch.Tensor:
    first = tensors[0]
    dim %= max(first.dim(), 1)
    for t in tensors:
        _need(t.dim() == first.dim() and t.dtype == first.dtype)
        _fit(t.shape[:dim] == first.shape[:dim] and t.shape[dim + 1 :] == first.shape[dim + 1 :])
    return _new((*first.shape[:dim], sum(t.shape[dim] for t in tensors), *first.shape[dim + 1 :]), first)


def _mean(
    x: torch.Tensor, dim: Sequence[int] | None = None, keepdim: bool = False, **kwargs: Any
) -> torch.Tensor:
    _need(bool(dim) and not kwargs and x.dtype.is_floating_point)
    gone = {d % x.dim() for d in dim or ()}
    _need(all(-x.dim() <= d < x.dim() for d in dim or ()))
    return _new([1 if d in gone else n for d, n in enumerate(x.shape) if keepdim or d not in gone], x)


def pooled(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """Return the output length of a pooling, as pooling_output_shape of ATen computes it."""
    room = n + 2 * p - d * (k - 1) - 1
    _need(room >= 0 and 2 * p <= d * (k - 1) + 1)
    length = (room + (s - 1 if ceil_mode else 0)) // s + 1
    if ceil_mode and (length - 1) * s >= n + p:
        length -= 1
    return length


def _max_pool2d(
    x: torch.Tensor,
    kernel: list[int],
    stride: list[int] | tuple[()] = (),
    padding: list[int] | tuple[int, ...] = (0,),
    dilation: list[int] | tuple[int, ...] = (1,),
    ceil_mode: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    settings = (_spread(v, 2) for v in (kernel, stride or kernel, padding, dilation))
    lengths = [
        pooled(n, k, s, p, d, ceil_mode) for n, k, s, p, d in zip(x.shape[-2:], *settings, strict=True)
    ]
    shape = (*x.shape[:-2], *lengths)
    return _new(shape, x), torch.empty(shape, dtype=torch.int64, device="meta")


def _avg_pool2d(
    x: torch.Tensor,
    kernel: list[int],
    stride: list[int] | tuple[()] = (),
    padding: list[int] | tuple[int, ...] = (0,),
    ceil_mode: bool = False,
    *args: Any,
) -> torch.Tensor:
    settings = (_spread(v, 2) for v in (kernel, stride or kernel, padding))
    lengths = [pooled(n, k, s, p, 1, ceil_mode) for n, k, s, p in zip(x.shape[-2:], *settings, strict=True)]
    return _new((*x.shape[:-2], *lengths), x)


def _adaptive_pool2d(x: torch.Tensor, size: list[int]) -> torch.Tensor:
    _need(x.dim() in (3, 4))
    return _new((*x.shape[:-2], *size), x)


def _upsample2d(x: torch.Tensor, size: list[int], *args: Any) -> torch.Tensor:
    _need(x.dim() == 4 and all(n > 0 for n in size))
    return _new((*x.shape[:-2], *size), x)


def _addmm(bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    out = _mm(a, b)
    _need(bias.dim() <= 2 and bias.shape[-1:] in ((1,), out.shape[1:]) and bias.dtype == a.dtype)
    return out


def _mm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    _need(a.dim() == b.dim() == 2 and a.shape[1] == b.shape[0] and a.dtype == b.dtype)
    return _new((a.shape[0], b.shape[1]), a)


def _bmm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    _need(
        a.dim() == b.dim() == 3
        and a.shape[0] == b.shape[0]
        and a.shape[2] == b.shape[1]
        and a.dtype == b.dtype
    )
    return _new((a.shape[0], a.shape[1], b.shape[2]), a)


def _constant_pad(x: torch.Tensor, pads: list[int], value: Any = 0) -> torch.Tensor:
    _need(len(pads) % 2 == 0 and len(pads) <= 2 * x.dim())
    shape = list(x.shape)
    for i in range(len(pads) // 2):
        shape[x.dim() - 1 - i] += pads[2 * i] + pads[2 * i + 1]
    _need(all(n > 0 for n in shape))
    return _new(shape, x)


def _clone(x: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    _need(not kwargs.get("memory_format") or kwargs["memory_format"] is torch.contiguous_format)
    return _same(x)


_SAME = [
    "relu",
    "hardtanh",
    "hardswish",
    "hardsigmoid",
    "silu",
    "gelu",
    "sigmoid",
    "tanh",
    "leaky_relu",
    "elu",
    "mish",
    "softplus",
    "exp",
    "log",
    "abs",
    "neg",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "sin",
    "cos",
    "erf",
    "softsign",
    "logit",
    "celu",
    "floor",
    "ceil",
    "round",
    "clamp",
    "clamp_min",
    "clamp_max",
    "square",
    "log_sigmoid",
]

SHAPES: dict[Any, Callable[..., Any]] = {
    aten.convolution.default: _convolution,
    aten.native_batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_group_norm.default: _group_norm,
    aten.add.Tensor: _broadcast,
    aten.sub.Tensor: _broadcast,
    aten.mul.Tensor: _broadcast,
    aten.div.Tensor: _broadcast,
    aten.add_.Tensor: _broadcast_into,
    aten.sub_.Tensor: _broadcast_into,
    aten.mul_.Tensor: _broadcast_into,
    aten.div_.Tensor: _broadcast_into,
    aten.cat.default: _cat,
    aten.mean.dim: _mean,
    aten.max_pool2d_with_indices.default: _max_pool2d,
    aten.avg_pool2d.default: _avg_pool2d,
    aten._adaptive_avg_pool2d.default: _adaptive_pool2d,
    aten.upsample_nearest2d.default: _upsample2d,
    aten.upsample_bilinear2d.default: _upsample2d,
    aten.upsample_bicubic2d.default: _upsample2d,
    aten.addmm.default: _addmm,
    aten.mm.default: _mm,
    aten.bmm.default: _bmm,
    aten.constant_pad_nd.default: _constant_pad,
    aten._softmax.default: _same,
    aten._log_softmax.default: _same,
    aten._safe_softmax.default: _same,
    aten.flip.default: _same,
    aten.roll.default: _same,
    aten.clone.default: _clone,
}
"""Overload -> function of the op's own arguments that returns meta tensors of the right shapes."""

for _name in _SAME:
    for _suffix, _function in (("", _same), ("_", _inplace)):
        _packet = getattr(aten, _name + _suffix, None)
        if _packet is not None and "default" in _packet.overloads():
            SHAPES[_packet.default] = _function
