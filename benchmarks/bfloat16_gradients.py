"""Which convolutions of the grammar have wrong results in bfloat16 on this processor.

    python -m benchmarks.bfloat16_gradients --seconds 420

Each shape is computed forward and backward in bfloat16 and compared with float32 on the same rounded numbers.
glibc's allocator fills what it hands out with a byte (GLIBC_TUNABLES=glibc.malloc.perturb): a kernel that
reads what nobody wrote is wrong every time, not once in a while. The shapes of a family are tried in an order
that is shuffled with a fixed seed, until its share of the seconds is used up: the table says how many were
tried, and how many of the wrong ones the trainer computes in bfloat16 all the same
(`training.fit.precision.needs_float32`): none, or this command ends with exit code 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from records.flags import positive
from training.fit.precision import needs_float32

PERTURB = "glibc.malloc.perturb=128"
"""128 makes the bytes that are handed out 127 (its complement): as bfloat16 3.4e38, whose sums overflow."""
TOLERANCE = 0.05
"""Largest difference from float32, over the largest value of float32: rounding alone makes 0.005."""
CHANNELS = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72, 80, 96, 100, 112, 124, 128)
MAPS = (8, 14, 16, 28, 29, 32, 40, 48, 64)
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
RESULTS = ("output", "input gradient", "weight gradient")


@dataclass(frozen=True)
class Shape:
    """One convolution and what it reads."""

    channels: int
    width: int
    size: int
    """Height and width of the map."""
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False
    layout: str = "channels_last"


def families() -> dict[str, list[Shape]]:
    """Return the shapes by the layer of the grammar that has them."""

    def shapes(**more: Any) -> Iterator[Shape]:
        fixed = {key: value for key, value in more.items() if not isinstance(value, tuple)}
        lists = {key: value for key, value in more.items() if isinstance(value, tuple)}
        for layout, channels, size in itertools.product(LAYOUTS, CHANNELS, MAPS):
            for chosen in itertools.product(*lists.values()):
                given = fixed | dict(zip(lists, chosen, strict=True))
                groups = channels if given.get("groups") == "depthwise" else int(given.pop("groups", 1))
                if channels % groups == 0:
                    given["groups"] = groups
                    yield Shape(channels, channels, size, layout=layout, **given)

    return {
        "conv 3x3": list(shapes(stride=(1, 2))),
        "conv 1x1": list(shapes(kernel=1)),
        "conv 5x5": list(shapes(kernel=5)),
        "grouped 3x3": list(shapes(groups=(2, 4), stride=(1, 2))),
        "dilated 3x3": list(shapes(dilation=(2, 3, 4))),
        "dilated 5x5": list(shapes(kernel=5, dilation=(2, 3))),
        "dilated, grouped": list(shapes(dilation=(2, 3, 4), groups=(2, 4))),
        "depthwise": list(shapes(kernel=(3, 5, 7), groups="depthwise", stride=(1, 2))),
        "depthwise, dilated": list(shapes(kernel=(3, 5, 7), groups="depthwise", dilation=(2, 3, 4))),
        "transposed": list(shapes(kernel=(3,), transposed=True, groups=(1, 2))),
        "transposed, stride 2": list(shapes(kernel=4, stride=2, transposed=True, groups=(1, 2))),
        "transposed, dilated": list(shapes(dilation=(2, 3), transposed=True)),
        "to other widths": [
            Shape(given, width, size, kernel=kernel, dilation=dilation)
            for given, width in (
                (48, 52),
                (52, 48),
                (64, 52),
                (52, 64),
                (3, 52),
                (48, 64),
                (20, 128),
                (128, 20),
            )
            for size in (16, 28, 32, 64)
            for kernel, dilation in ((3, 1), (3, 2), (3, 3), (5, 2), (1, 1))
        ],
    }


def differences(shape: Shape, batch: int = 2) -> dict[str, float]:
    """Return how far each result is from float32, relative to its largest value; NaN counts as infinite."""
    numbers = torch.Generator().manual_seed(0)
    images = torch.randn(batch, shape.channels, shape.size, shape.size, generator=numbers).bfloat16()
    inner = (shape.channels, shape.width) if shape.transposed else (shape.width, shape.channels)
    weight = torch.randn(inner[0], inner[1] // shape.groups, shape.kernel, shape.kernel, generator=numbers)
    weight = weight.bfloat16()
    padding = shape.dilation * (shape.kernel - 1) // 2
    function = F.conv_transpose2d if shape.transposed else F.conv2d
    found: list[list[torch.Tensor]] = []
    upstream = None
    for dtype, layout in ((torch.float32, torch.contiguous_format), (torch.bfloat16, LAYOUTS[shape.layout])):
        x = images.to(dtype, memory_format=layout, copy=True).requires_grad_()
        w = weight.to(dtype, memory_format=layout, copy=True).requires_grad_()
        y = function(x, w, stride=shape.stride, padding=padding, dilation=shape.dilation, groups=shape.groups)
        if upstream is None:
            upstream = torch.randn(y.shape, generator=numbers).bfloat16()
        y.backward(upstream.to(dtype, memory_format=layout))  # type: ignore[no-untyped-call]
        assert x.grad is not None
        assert w.grad is not None
        found.append([y.detach(), x.grad, w.grad])
    result = {}
    for name, right, ours in zip(RESULTS, *found, strict=True):
        gap = float((ours.float() - right).abs().max() / right.abs().max())
        result[name] = gap if gap == gap else float("inf")
    return result


def widened(shape: Shape) -> bool:
    """Return whether the trainer computes this layer in float32."""
    kind = nn.ConvTranspose2d if shape.transposed else nn.Conv2d
    layer = kind(
        shape.channels,
        shape.width,
        shape.kernel,
        stride=shape.stride,
        dilation=shape.dilation,
        groups=shape.groups,
        device="meta",
    )
    return needs_float32(layer, (shape.size, shape.size))


def sweep(family: str, seconds: float) -> dict[str, Any]:
    """Try the shapes of a family, in this process; return what was wrong and how many were tried."""
    shapes = families()[family]
    random.Random(0).shuffle(shapes)
    began, tried, worst, wrong = time.perf_counter(), 0, 0.0, []
    for shape in shapes:
        if time.perf_counter() - began > seconds:
            break
        found = differences(shape)
        tried += 1
        bad = [name for name, gap in found.items() if gap > TOLERANCE]
        if bad:
            wrong.append({"results": bad, "left": not widened(shape), **asdict(shape)})
        worst = max([worst, *(gap for gap in found.values() if gap <= TOLERANCE)])
    return {"tried": tried, "of": len(shapes), "worst of the right ones": worst, "wrong": wrong}


def apart(seconds: float, threads: int) -> dict[str, dict[str, Any]]:
    """Sweep every family in a process of its own, whose memory is filled before it is handed out."""
    flags = ["--here", "--seconds", str(seconds), "--threads", str(threads)]
    words = [sys.executable, "-m", "benchmarks.bfloat16_gradients", *flags]
    environment = os.environ | {"GLIBC_TUNABLES": PERTURB}
    ended = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Try every family and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=420.0, help="for all shapes together (default 420)")
    parser.add_argument("--threads", type=positive, default=1, help="of torch (default 1)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.here:
        share = options.seconds / len(families())
        print(json.dumps({family: sweep(family, share) for family in families()}))
        return 0
    found = apart(options.seconds, options.threads)
    capable = torch.backends.cpu.get_cpu_capability()
    title = f"bfloat16 against float32, torch {torch.__version__}, {platform.machine()}, {capable}"
    table = Table(title=title)
    table.add_column("layers")
    for column in ("tried", "wrong", "of these in bfloat16", "worst of the right ones"):
        table.add_column(column, justify="right")
    table.add_column("wrong: result; channels; maps; layout", overflow="fold")
    for family, of_family in found.items():
        table.add_row(family, *_row(of_family))
    Console(width=150).print(table)
    return 1 if any(each["left"] for of_family in found.values() for each in of_family["wrong"]) else 0


def _row(found: dict[str, Any]) -> list[str]:
    wrong = found["wrong"]
    left = sum(each["left"] for each in wrong)
    worst = f"{found['worst of the right ones']:.4f}"
    cells = [f"{found['tried']:,} of {found['of']:,}", str(len(wrong)), str(left), worst]
    if not wrong:
        return [*cells, "-"]
    parts = [", ".join(sorted({name for each in wrong for name in each["results"]}))]
    for key in ("channels", "size", "layout"):
        parts.append(" ".join(sorted({str(each[key]) for each in wrong}, key=_natural)))
    return [*cells, "; ".join(parts)]


def _natural(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdigit() else (0, text)


if __name__ == "__main__":
    sys.exit(main())
