"""Depthwise convolution in Triton: forward, gradient of the images, gradient of the kernel.

A program computes a block of places times channels. Images are read in whatever order they lie; with channels
last, neighbouring threads read neighbouring channels and pixels. Sums are in float32. Imported only where
Triton is there.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_BLOCK = 1024
"""Places times channels of a program: 8 numbers for each of 128 threads."""
_PROGRAMS = 4096
"""About as many programs share the places of the kernel's gradient."""


@triton.jit
def _gathered(
    source,
    kernel,
    result,
    count,
    channels,
    height,
    width,
    rows,
    columns,
    source_n,
    source_c,
    source_y,
    source_x,
    result_n,
    result_c,
    result_y,
    result_x,
    side: tl.constexpr,
    stride: tl.constexpr,
    padding: tl.constexpr,
    dilation: tl.constexpr,
    backwards: tl.constexpr,
    block_p: tl.constexpr,
    block_c: tl.constexpr,
):
    """Sum over the taps of a kernel; `backwards` takes the gradient of the output to that of the images."""
    place = tl.program_id(0) * block_p + tl.arange(0, block_p)
    channel = tl.program_id(1) * block_c + tl.arange(0, block_c)
    image, row, column = place // (rows * columns), place // columns % rows, place % columns
    there = (place < count * rows * columns)[:, None] & (channel < channels)[None, :]
    total = tl.zeros([block_p, block_c], dtype=tl.float32)
    for i in tl.static_range(side):
        for j in tl.static_range(side):
            if backwards:
                # Output (y, x) read row y * stride + i * dilation - padding: solved for y.
                down, across = row + padding - i * dilation, column + padding - j * dilation
                y, x = down // stride, across // stride
                seen = (down >= 0) & (across >= 0) & (down % stride == 0) & (across % stride == 0)
            else:
                y = row * stride + i * dilation - padding
                x = column * stride + j * dilation - padding
                seen = (y >= 0) & (x >= 0)
            seen = seen & (y < height) & (x < width)
            at = image * source_n + y * source_y + x * source_x
            values = tl.load(
                source + at[:, None] + channel[None, :] * source_c, mask=there & seen[:, None], other=0.0
            )
            weight = tl.load(
                kernel + channel * (side * side) + (i * side + j), mask=channel < channels, other=0.0
            )
            total += values.to(tl.float32) * weight.to(tl.float32)[None, :]
    at = image * result_n + row * result_y + column * result_x
    tl.store(
        result + at[:, None] + channel[None, :] * result_c, total.to(result.dtype.element_ty), mask=there
    )


@triton.jit
def _kernel_gradient(
    images,
    gradient,
    result,
    count,
    channels,
    height,
    width,
    rows,
    columns,
    images_n,
    images_c,
    images_y,
    images_x,
    gradient_n,
    gradient_c,
    gradient_y,
    gradient_x,
    share,
    side: tl.constexpr,
    stride: tl.constexpr,
    padding: tl.constexpr,
    dilation: tl.constexpr,
    block_p: tl.constexpr,
    block_c: tl.constexpr,
):
    """Sum one tap's products over a share of the places; the shares are summed afterwards."""
    tap = tl.program_id(2)
    channel = tl.program_id(1) * block_c + tl.arange(0, block_c)
    total = tl.zeros([block_c], dtype=tl.float32)
    for start in range(0, share, block_p):
        place = tl.program_id(0) * share + start + tl.arange(0, block_p)
        image, row, column = place // (rows * columns), place // columns % rows, place % columns
        y = row * stride + tap // side * dilation - padding
        x = column * stride + tap % side * dilation - padding
        seen = (place < count * rows * columns) & (y >= 0) & (x >= 0) & (y < height) & (x < width)
        there = seen[:, None] & (channel < channels)[None, :]
        at = image * images_n + y * images_y + x * images_x
        values = tl.load(images + at[:, None] + channel[None, :] * images_c, mask=there, other=0.0)
        at = image * gradient_n + row * gradient_y + column * gradient_x
        pulls = tl.load(gradient + at[:, None] + channel[None, :] * gradient_c, mask=there, other=0.0)
        total += tl.sum(values.to(tl.float32) * pulls.to(tl.float32), axis=0)
    at = (tl.program_id(0) * (side * side) + tap) * channels + channel
    tl.store(result + at, total, mask=channel < channels)


def _blocks(channels: int) -> tuple[int, int]:
    """Return the places and the channels of a program."""
    block_c = min(32, triton.next_power_of_2(channels))
    return _BLOCK // block_c, block_c


def _gather(
    source: torch.Tensor,
    kernel: torch.Tensor,
    result: torch.Tensor,
    stride: int,
    padding: int,
    dilation: int,
    backwards: bool,
) -> torch.Tensor:
    count, channels, rows, columns = result.shape
    block_p, block_c = _blocks(channels)
    grid = (triton.cdiv(count * rows * columns, block_p), triton.cdiv(channels, block_c))
    launch: Any = _gathered[grid]
    launch(
        source,
        kernel.contiguous(),
        result,
        count,
        channels,
        *source.shape[2:],
        rows,
        columns,
        *source.stride(),
        *result.stride(),
        side=kernel.shape[2],
        stride=stride,
        padding=padding,
        dilation=dilation,
        backwards=backwards,
        block_p=block_p,
        block_c=block_c,
    )
    return result


def forward(
    images: torch.Tensor, kernel: torch.Tensor, stride: int, padding: int, dilation: int, result: torch.Tensor
) -> torch.Tensor:
    """Fill and return `result`, (N, C, H', W'), from (N, C, H, W) images and a (C, 1, k, k) kernel."""
    return _gather(images, kernel, result, stride, padding, dilation, backwards=False)


def image_gradient(
    gradient: torch.Tensor,
    kernel: torch.Tensor,
    stride: int,
    padding: int,
    dilation: int,
    result: torch.Tensor,
) -> torch.Tensor:
    """Fill and return `result`, the gradient of the (N, C, H, W) images."""
    return _gather(gradient, kernel, result, stride, padding, dilation, backwards=True)


def kernel_gradient(
    images: torch.Tensor, gradient: torch.Tensor, side: int, stride: int, padding: int, dilation: int
) -> torch.Tensor:
    """Return the float32 gradient of the (C, 1, side, side) kernel."""
    count, channels, rows, columns = gradient.shape
    block_p, block_c = _blocks(channels)
    across, taps = triton.cdiv(channels, block_c), side * side
    blocks = triton.cdiv(count * rows * columns, block_p)
    share = triton.cdiv(blocks, max(1, min(blocks, _PROGRAMS // (across * taps)))) * block_p
    shares = triton.cdiv(count * rows * columns, share)
    parts = torch.empty((shares, taps, channels), dtype=torch.float32, device=images.device)
    launch: Any = _kernel_gradient[(shares, across, taps)]
    launch(
        images,
        gradient,
        parts,
        count,
        channels,
        *images.shape[2:],
        rows,
        columns,
        *images.stride(),
        *gradient.stride(),
        share,
        side=side,
        stride=stride,
        padding=padding,
        dilation=dilation,
        block_p=block_p,
        block_c=block_c,
    )
    return parts.sum(0).T.reshape(channels, 1, side, side)
