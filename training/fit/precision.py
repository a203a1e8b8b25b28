"""bfloat16 on a device, and float32 for the layers that bfloat16 does not suit."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

Convolution = nn.Conv2d | nn.ConvTranspose2d

_RIGHT_UP_TO = 24
"""Rows or columns of a map on which every bfloat16 gradient is right; wrong ones begin at 29 columns."""
_BLOCK = 16
"""Channels that oneDNN's bfloat16 kernels take together."""


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the context of a forward pass in `precision`; norms, loss and weights stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def float32_where_bfloat16_is_unfit(model: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """Within it, and under `autocast`, convolutions compute in float32 where bfloat16 is slow or wrong.

    On a CPU alone, and only within: afterwards the network is as it was.
    """
    widened: list[Convolution] = []
    if device.type == "cpu" and precision == "bfloat16":
        for module in model.modules():
            # Somebody else's wrapper stays.
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and "forward" not in vars(module):
                widened += [module] if _is_slow(module) or _is_wrong_on_large_maps(module) else []
    for module in widened:
        module.forward = functools.partial(_forward, module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in widened:
            del module.forward


def needs_float32(module: Convolution, image_size: Sequence[int]) -> bool:
    """Return whether a layer that reads maps of (height, width) is slow or wrong in bfloat16 on a CPU."""
    return _is_slow(module) or (_is_wrong_on_large_maps(module) and max(image_size) > _RIGHT_UP_TO)


def _is_slow(module: Convolution) -> bool:
    """Return whether oneDNN lacks a fast bfloat16 form.

    Of the depthwise kernels it has one for 3x3 and stride 1 alone: the gradient of a strided one costs ten
    times its float32 form. docs/training.md has the measurement.
    """
    if isinstance(module, nn.ConvTranspose2d) or not 1 < module.groups == module.in_channels:
        return False
    return max(module.kernel_size) > 3 or max(module.stride) > 1 or max(module.dilation) > 1


def _is_wrong_on_large_maps(module: Convolution) -> bool:
    """Return whether the bfloat16 weight gradient is wrong on maps wider than `_RIGHT_UP_TO`.

    oneDNN takes the channels that a kernel reads in blocks of 16. Where the last block is not full (52 = 3 *
    16 + 4), the kernel is dilated and the layout channels_last, the weight gradient on a map of more than 28
    columns reads memory that nobody wrote: NaN, or silently wrong (oneDNN 3.12 with AVX512_BF16; the sweep of
    benchmarks/bfloat16_gradients.py is in docs/results/training.md). Contiguous images are right; float32 is
    the safer way out, since it does not depend on the layout that a network chooses for itself.
    """
    # The gradient of a transposed convolution is that of the convolution from its output back to its input.
    read = module.out_channels if isinstance(module, nn.ConvTranspose2d) else module.in_channels
    pairs = zip(module.dilation, module.kernel_size, strict=True)
    return any(step > 1 and side > 1 for step, side in pairs) and read // module.groups % _BLOCK != 0


def _forward(module: Convolution, images: torch.Tensor) -> torch.Tensor:
    kind: Any = type(module)  # its own forward: the instance's is this function
    result: torch.Tensor
    if not needs_float32(module, images.shape[2:]):
        result = kind.forward(module, images)
        return result
    with torch.autocast(images.device.type, enabled=False):
        result = kind.forward(module, images.float())
    return result.to(images.dtype)
