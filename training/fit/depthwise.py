"""Depthwise convolutions on a GPU by kernels of our own, where they are measured to be faster than cuDNN's.

cuDNN has no good kernel for large, dilated or strided depthwise convolutions in bfloat16. Those of
`training.fit.depthwise_triton` take their place in training alone, layer by layer: for the very shape that a
layer sees they must give what torch gives, in less time. Without Triton or a GPU nothing changes.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from training.fit.precision import autocast

_SIDES, _STRIDES = (3, 5, 7), (1, 2)
_NUMBERS = 2**31 - 1
"""The kernels count places in 32 bits."""
_REPEATS = 10
WORTH_STEPS = 10_000
"""Steps of a run from which on kernels are compiled, which takes seconds for each shape."""


@torch.library.custom_op("rfcalc_training::depthwise", mutates_args=())
def depthwise(
    images: torch.Tensor, kernel: torch.Tensor, stride: int, padding: int, dilation: int
) -> torch.Tensor:
    """Return the depthwise convolution of (N, C, H, W) images with a (C, 1, k, k) kernel.

    By Triton on CUDA, else by torch. The result has the images' type, sums are in float32 by Triton.
    """
    result = _empty(images, kernel, stride, padding, dilation)
    if not images.is_cuda:
        weight = kernel.to(images.dtype)
        return result.copy_(F.conv2d(images, weight, None, stride, padding, dilation, len(kernel)))
    from training.fit import depthwise_triton

    depthwise_triton.forward(images, kernel, stride, padding, dilation, result)
    return result


def _empty(
    images: torch.Tensor, kernel: torch.Tensor, stride: int, padding: int, dilation: int
) -> torch.Tensor:
    reach = dilation * (kernel.shape[2] - 1)
    rows, columns = ((length + 2 * padding - reach - 1) // stride + 1 for length in images.shape[2:])
    shape = (images.shape[0], images.shape[1], rows, columns)
    return torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)


@torch.library.custom_op("rfcalc_training::depthwise_backward", mutates_args=())
def depthwise_backward(
    gradient: torch.Tensor,
    images: torch.Tensor,
    kernel: torch.Tensor,
    stride: int,
    padding: int,
    dilation: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of images and kernel, of the types of these."""
    of_images, of_kernel = _empty_gradients(gradient, images, kernel, stride, padding, dilation)
    if not images.is_cuda:
        made = torch.ops.aten.convolution_backward(
            gradient,
            images,
            kernel.to(images.dtype),
            None,
            [stride] * 2,
            [padding] * 2,
            [dilation] * 2,
            False,
            [0, 0],
            len(kernel),
            [True, True, False],
        )
        return of_images.copy_(made[0]), of_kernel.copy_(made[1])
    from training.fit import depthwise_triton

    depthwise_triton.image_gradient(gradient, kernel, stride, padding, dilation, of_images)
    side = kernel.shape[2]
    made_kernel = depthwise_triton.kernel_gradient(images, gradient, side, stride, padding, dilation)
    return of_images, of_kernel.copy_(made_kernel)


def _empty_gradients(
    gradient: torch.Tensor,
    images: torch.Tensor,
    kernel: torch.Tensor,
    stride: int,
    padding: int,
    dilation: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        torch.empty_like(images, memory_format=torch.channels_last),
        torch.empty_like(kernel, memory_format=torch.contiguous_format),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    images, kernel, *ctx.settings = inputs
    ctx.save_for_backward(images, kernel)


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    images, kernel = ctx.saved_tensors
    of_images, of_kernel = depthwise_backward(gradient, images, kernel, *ctx.settings)
    return of_images, of_kernel, None, None, None


depthwise.register_fake(_empty)
depthwise_backward.register_fake(_empty_gradients)
depthwise.register_autograd(_backward, setup_context=_remember)


@dataclass(frozen=True)
class Shape:
    """What a layer computes, as far as its time depends on it."""

    images: tuple[int, ...]
    """(N, C, H, W)."""
    side: int
    stride: int
    padding: int
    dilation: int
    dtype: torch.dtype


def suits(module: nn.Module) -> bool:
    """Return whether the kernels can take the place of a layer: square, depthwise, of a size they know."""
    if not isinstance(module, nn.Conv2d) or "forward" in vars(module):
        return False
    pairs = (module.kernel_size, module.stride, module.dilation, module.padding)
    return (
        1 < module.groups == module.in_channels == module.out_channels
        and module.padding_mode == "zeros"
        and all(not isinstance(pair, str) and len(set(pair)) == 1 for pair in pairs)
        and module.kernel_size[0] in _SIDES
        and module.stride[0] in _STRIDES
    )


@contextmanager
def faster_depthwise(
    model: nn.Module,
    shape: tuple[int, int, int, int],
    device: torch.device,
    precision: str,
    steps: int,
    on_notice: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Within it, depthwise layers of a network in training compute by Triton where that is faster.

    Args:
        model: On the device; afterwards it is as it was.
        shape: (B, 3, H, W) of its batches.
        device: Only on CUDA anything happens.
        precision: As a recipe has it.
        steps: Of the whole run; where there are few, compiling would cost more than it brings.
        on_notice: Function that is given the reason where the kernels cannot be used.
    """
    replaced: list[nn.Conv2d] = []
    suited = [each for each in model.modules() if isinstance(each, nn.Conv2d) and suits(each)]
    layers = suited if device.type == "cuda" and steps >= WORTH_STEPS else []
    if layers and importlib.util.find_spec("triton") is not None:
        try:
            for module, seen in _shapes(model, layers, shape, device, precision).items():
                if _is_faster(seen):
                    module.forward = functools.partial(_forward, module)  # type: ignore[method-assign]
                    replaced.append(module)
        except Exception as error:  # a compiler that is missing or broken, a driver that is too old
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            if on_notice is not None and _once(first):
                on_notice(f"depthwise layers are computed by torch, since Triton failed ({first.strip()})")
    try:
        yield
    finally:
        for module in replaced:
            del module.forward


@functools.lru_cache(maxsize=1)
def _noticed() -> set[str]:
    return set()


def _once(text: str) -> bool:
    """Return whether this is the first time."""
    first = text not in _noticed()
    _noticed().add(text)
    return first


def _forward(module: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
    if not module.training:
        return nn.Conv2d.forward(module, images)
    if torch.is_autocast_enabled(images.device.type):
        images = images.to(torch.get_autocast_dtype(images.device.type))
    padding = module.padding[0]
    assert isinstance(padding, int)
    result: torch.Tensor = depthwise(images, module.weight, module.stride[0], padding, module.dilation[0])
    return result if module.bias is None else result + module.bias.to(result.dtype).view(1, -1, 1, 1)


def _shapes(
    model: nn.Module,
    layers: list[nn.Conv2d],
    shape: tuple[int, int, int, int],
    device: torch.device,
    precision: str,
) -> dict[nn.Conv2d, Shape]:
    """Return what each layer computes in a step, found by a pass of two images through a copy."""
    twin = copy.deepcopy(model).eval()
    found: dict[nn.Conv2d, Shape] = {}
    for module, copied in zip(model.modules(), twin.modules(), strict=True):
        if isinstance(module, nn.Conv2d) and module in layers:
            copied.register_forward_hook(functools.partial(_note, found, module, shape[0]))
    with torch.no_grad(), autocast(device, precision):
        twin(torch.zeros((2, *shape[1:]), device=device))
    return found


def _note(
    found: dict[nn.Conv2d, Shape],
    module: nn.Conv2d,
    batch: int,
    copied: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    output: torch.Tensor,
) -> None:
    (images,) = inputs
    padding = module.padding[0]
    assert isinstance(padding, int)
    size = (batch, *images.shape[1:])
    layer = (module.kernel_size[0], module.stride[0], padding, module.dilation[0])
    found[module] = Shape(size, *layer, output.dtype)


@functools.lru_cache(maxsize=4096)
def _is_faster(shape: Shape) -> bool:
    """Return whether the kernels give what torch gives, forward and backward, in less time; measured once."""
    if torch.Size(shape.images).numel() > _NUMBERS:
        return False
    generator = torch.Generator("cuda").manual_seed(0)
    images = torch.randn(shape.images, device="cuda", generator=generator).to(
        shape.dtype, memory_format=torch.channels_last
    )
    kernel = torch.randn((shape.images[1], 1, shape.side, shape.side), device="cuda", generator=generator)
    settings = (shape.stride, shape.padding, shape.dilation)

    def ours(images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = depthwise(images, kernel, *settings)
        return result

    def usual(images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return F.conv2d(images, kernel.to(images.dtype), None, *settings, len(kernel))

    found, expected = (_computed(way, images, kernel) for way in (ours, usual))
    for one, other in zip(found, expected, strict=True):
        # Two orders of summing in bfloat16 differ by some of its steps of 2^-8, wrong kernels by far more.
        if not float((one - other).float().norm()) <= 0.02 * float(other.float().norm()):
            return False
    return _milliseconds(ours, images, kernel) < 0.95 * _milliseconds(usual, images, kernel)


Way = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _computed(way: Way, images: torch.Tensor, kernel: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the output and both gradients."""
    images, kernel = images.detach().requires_grad_(), kernel.detach().requires_grad_()
    output = way(images, kernel)
    gradients = torch.autograd.grad(output, (images, kernel), output.detach())
    return (output.detach(), *gradients)


def _milliseconds(way: Way, images: torch.Tensor, kernel: torch.Tensor) -> float:
    for _ in range(3):
        _computed(way, images, kernel)
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    began.record()
    for _ in range(_REPEATS):
        _computed(way, images, kernel)
    ended.record()
    torch.cuda.synchronize()
    return float(began.elapsed_time(ended)) / _REPEATS
