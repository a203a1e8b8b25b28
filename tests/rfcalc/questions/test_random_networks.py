"""Random networks against the gradient oracle: every output unit's clipped set, pixel by pixel.

CI draws a few; more:
RFCALC_NETWORKS=2000 python -m pytest -n 0 tests/rfcalc/questions/test_random_networks.py --hypothesis-seed=1
"""

import os
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rfcalc.analysis.analyze import analyze
from rfcalc.questions.oracle import verify

NETWORKS = int(os.environ.get("RFCALC_NETWORKS", "60"))
LARGEST = 16

small = st.integers(1, 3)
kernels = st.tuples(st.integers(1, 4), st.integers(1, 4))
pairs = st.tuples(small, small)
amounts = st.tuples(*[st.integers(0, 2)] * 4)

steps = st.one_of(
    st.tuples(
        st.just("conv"), kernels, pairs, pairs, st.tuples(st.integers(0, 3), st.integers(0, 3)), st.booleans()
    ),
    st.tuples(
        st.just("transposed"), kernels, pairs, pairs, st.tuples(st.integers(0, 2), st.integers(0, 2)), pairs
    ),
    st.tuples(st.just("max pool"), kernels, pairs, st.booleans(), small),
    st.tuples(st.just("average pool"), kernels, pairs, st.booleans(), st.booleans()),
    st.tuples(st.just("adaptive pool"), st.integers(1, 9), st.integers(1, 9), st.booleans()),
    st.tuples(
        st.just("interpolate"),
        st.sampled_from(["nearest", "nearest-exact", "bilinear", "bicubic", "area"]),
        pairs,
    ),
    st.tuples(
        st.just("resize"),
        st.sampled_from(["nearest", "bilinear", "aligned", "bicubic"]),
        st.integers(2, 17),
        st.integers(2, 17),
    ),
    st.tuples(st.just("pad"), st.sampled_from(["constant", "reflect", "replicate", "circular"]), amounts),
    st.tuples(st.just("slice"), st.integers(0, 3), st.integers(0, 3), small, small),
    st.tuples(st.just("flip"), st.sampled_from([(2,), (3,), (2, 3)])),
    st.tuples(st.just("roll"), st.integers(-3, 3), st.integers(-3, 3)),
    st.tuples(st.just("space cat"), st.sampled_from([2, 3]), st.integers(0, 9)),
    st.tuples(st.just("add"), st.integers(0, 9)),
    st.tuples(st.just("cat"), st.integers(0, 9)),
    st.tuples(st.just("transpose")),
    st.tuples(st.just("unshuffle")),
    st.tuples(st.just("shuffle")),
    st.tuples(st.just("gate")),
    st.tuples(st.just("row mean"), st.sampled_from([2, 3])),
    st.tuples(st.just("norm"), st.sampled_from(["batch", "group", "layer"])),
    st.tuples(st.just("write"), st.integers(0, 3), st.integers(0, 3), small),
    st.tuples(st.just("windows"), st.integers(2, 3)),
    st.tuples(st.just("relu")),
    st.tuples(st.just("class token"), st.integers(0, 2), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("odd gate"), st.integers(2, 3), st.sampled_from(["nearest", "bilinear"])),
    st.tuples(st.just("stacked"), st.integers(0, 9), st.sampled_from([0, 1, 2]), st.booleans()),
    st.tuples(st.just("near attention"), st.booleans()),
    st.tuples(st.just("halo"), st.integers(2, 3)),
)


class Drawn(nn.Module):
    """Interprets drawn steps; one that does not fit the map's size is left out."""

    def __init__(self, program: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.program = program

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for name, *settings_ in self.program:
            x = getattr(self, name.replace(" ", "_"))(x, maps, *settings_)
            x = x[:, :, :LARGEST, :LARGEST]
            maps.append(x)
        return x * 1.0

    def _weight(self, *shape: int) -> Tensor:
        return torch.ones(shape)

    def conv(self, x, maps, kernel, stride, dilation, padding, depthwise):
        if any(
            n + 2 * p < d * (k - 1) + 1
            for n, p, d, k in zip(x.shape[2:], padding, dilation, kernel, strict=True)
        ):
            return x
        groups = x.shape[1] if depthwise else 1
        weight = self._weight(x.shape[1] if depthwise else 2, x.shape[1] // groups, *kernel)
        return F.conv2d(x, weight, None, stride, padding, dilation, groups)

    def transposed(self, x, maps, kernel, stride, dilation, padding, extra):
        extra = [min(e, max(s, d)) - 1 for e, s, d in zip(extra, stride, dilation, strict=True)]
        sizes = zip(x.shape[2:], stride, padding, dilation, kernel, extra, strict=True)
        if any((n - 1) * s - 2 * p + d * (k - 1) + e + 1 < 1 for n, s, p, d, k, e in sizes):
            return x
        weight = self._weight(x.shape[1], 2, *kernel)
        return F.conv_transpose2d(x, weight, None, stride, padding, extra, 1, dilation)

    def max_pool(self, x, maps, kernel, stride, ceil_mode, dilation):
        padding = [k // 2 for k in kernel]
        if any(
            n + 2 * p < dilation * (k - 1) + 1 for n, p, k in zip(x.shape[2:], padding, kernel, strict=True)
        ):
            return x
        return F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)

    def average_pool(self, x, maps, kernel, stride, ceil_mode, padded):
        padding = [k // 2 * padded for k in kernel]
        if any(n + 2 * p < k for n, p, k in zip(x.shape[2:], padding, kernel, strict=True)):
            return x
        return F.avg_pool2d(x, kernel, stride, padding, ceil_mode)

    def adaptive_pool(self, x, maps, height, width, largest):
        return (F.adaptive_max_pool2d if largest else F.adaptive_avg_pool2d)(x, (height, width))

    def interpolate(self, x, maps, mode, scale):
        return F.interpolate(x, scale_factor=[float(s) for s in scale], mode=mode)

    def resize(self, x, maps, mode, height, width):
        aligned = mode == "aligned"
        corners = True if aligned else False if mode.startswith("bi") else None
        return F.interpolate(x, (height, width), mode="bilinear" if aligned else mode, align_corners=corners)

    def pad(self, x, maps, mode, amounts):
        if mode != "constant" and any(max(amounts) >= n for n in x.shape[2:]):
            return x
        return F.pad(x, amounts, mode=mode)

    def slice(self, x, maps, top, left, down, right):
        if top + down > x.shape[2] or left + right > x.shape[3]:
            return x
        return x[:, :, top::down, left::right]

    def flip(self, x, maps, dims):
        return x.flip(dims)

    def roll(self, x, maps, down, right):
        return x.roll((down, right), (2, 3))

    def _fitting(self, x, maps, which):
        other = maps[which % len(maps)]
        if other.shape[1] != x.shape[1]:
            other = F.conv2d(other, self._weight(x.shape[1], other.shape[1], 1, 1))
        height, width = (min(a, b) for a, b in zip(x.shape[2:], other.shape[2:], strict=True))
        return x[:, :, :height, :width], other[:, :, other.shape[2] - height :, other.shape[3] - width :]

    def space_cat(self, x, maps, dim, which):
        return torch.cat(self._fitting(x, maps, which), dim)

    def add(self, x, maps, which):
        one, two = self._fitting(x, maps, which)
        return one + two

    def cat(self, x, maps, which):
        if x.shape[1] > 8:
            return x
        return torch.cat(self._fitting(x, maps, which), 1)

    def transpose(self, x, maps):
        return x.transpose(2, 3)

    def unshuffle(self, x, maps):
        if x.shape[2] % 2 or x.shape[3] % 2 or x.shape[1] > 8:
            return x
        return F.pixel_unshuffle(x, 2)

    def shuffle(self, x, maps):
        return F.pixel_shuffle(x, 2) if x.shape[1] % 4 == 0 else x

    def gate(self, x, maps):
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))

    def row_mean(self, x, maps, dim):
        return x + x.mean(dim, keepdim=True)

    def norm(self, x, maps, kind):
        if kind == "group":
            return F.group_norm(x, 1)
        if kind == "layer":
            return F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],)).permute(0, 3, 1, 2)
        return F.batch_norm(x, torch.zeros(x.shape[1]), torch.ones(x.shape[1]))

    def write(self, x, maps, top, left, step):
        if top >= x.shape[2] or left >= x.shape[3]:
            return x
        x = x.clone()
        x[:, :, top::step, left:] = F.avg_pool2d(x, 3, 1, 1)[:, :, top::step, left:]
        return x

    def windows(self, x, maps, size):
        n, c, h, w = x.shape
        if h % size or w % size:
            return x
        blocks = x.view(n, c, h // size, size, w // size, size).permute(0, 2, 4, 3, 5, 1)
        tokens = blocks.reshape(-1, size * size, c)
        tokens = torch.softmax(tokens @ tokens.transpose(1, 2), -1) @ tokens
        blocks = tokens.view(n, h // size, w // size, size, size, c).permute(0, 5, 1, 3, 2, 4)
        return blocks.reshape(n, c, h, w)

    def class_token(self, x, maps, before, after, mixes):
        n, c, h, w = x.shape
        t = x.flatten(2).transpose(1, 2)
        t = torch.cat([torch.ones(n, before, c), t, torch.ones(n, after, c)], 1)
        if mixes:
            t = t + torch.softmax(t @ t.transpose(1, 2), -1) @ t
        return t[:, before : before + h * w].transpose(1, 2).reshape(n, c, h, w)

    def odd_gate(self, x, maps, size, mode):
        if min(x.shape[2:]) < size:
            return x
        gate = F.max_pool2d(x, size)
        gate = F.interpolate(gate, x.shape[2:], mode=mode, align_corners=None if mode == "nearest" else False)
        return x * torch.sigmoid(gate)

    def stacked(self, x, maps, which, dim, chosen):
        y = torch.stack([*self._fitting(x, maps, which), self._fitting(x, maps, which)[0]], dim)
        return y.select(dim, 1) if chosen else y.sum(dim)

    def near_attention(self, x, maps, by_tensor):
        n, c, h, w = x.shape
        if by_tensor:
            near = F.pad(x, [1] * 4).unfold(2, 3, 1).unfold(3, 3, 1).reshape(n, c, h, w, 9)
            return (near * torch.softmax(near, -1)).sum(-1)
        near = F.unfold(x, 3, padding=1).view(n, c, 9, h, w)
        return (near * torch.softmax(x[:, :, None] * near, 2)).sum(2)

    def halo(self, x, maps, size):
        n, c, h, w = x.shape
        if h % size or w % size:
            return x
        blocks = x.view(n, c, h // size, size, w // size, size).permute(0, 2, 4, 3, 5, 1)
        q = blocks.reshape(-1, size * size, c)
        near = F.pad(x, [1] * 4).unfold(2, size + 2, size).unfold(3, size + 2, size)
        k = near.permute(0, 2, 3, 4, 5, 1).reshape(-1, (size + 2) ** 2, c)
        out = torch.softmax(q @ k.transpose(1, 2), -1) @ k
        out = out.view(n, h // size, w // size, size, size, c).permute(0, 5, 1, 3, 2, 4)
        return out.reshape(n, c, h, w)

    def relu(self, x, maps):
        return F.relu(x, inplace=len(maps) > 1)


@settings(
    max_examples=NETWORKS,
    deadline=None,
    derandomize="RFCALC_NETWORKS" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate) if "RFCALC_NOSHRINK" in os.environ else tuple(Phase),
    database=None,
)
# Reflected beside a shortcut, a unit at the border sees more rows than its size on the unbounded plane.
@example(
    [("conv", (2, 1), (1, 1), (1, 1), (0, 0), False), ("pad", "reflect", (0, 0, 0, 1)), ("add", 0)], (5, 5)
)
@given(st.lists(steps, min_size=1, max_size=7), st.tuples(st.integers(5, 13), st.integers(5, 13)))
def test_every_output_unit_of_a_random_network_sees_what_its_gradient_reaches(program, size):
    analysis = analyze(Drawn(program), (2, *size))
    result = verify(None, analysis, units=0, rows=[analysis.rows[-1].name])
    assert not result.skipped
    assert result.agreed == result.checked, result.mismatches[:3]
    assert not result.misplaced, result.misplaced[:3]


def test_an_unshuffled_write_in_place_sees_no_more_than_its_gradient_reaches():
    analysis = analyze(Drawn([("write", 0, 0, 2), ("unshuffle",)]), (2, 6, 6))
    result = verify(None, analysis, units=0, rows=[analysis.rows[-1].name])
    assert result.agreed == result.checked, result.mismatches[:3]
