"""Networks that move places about: tokens, windows, stacked branches, gates, sampling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Parts(nn.Module):
    """Layers that the networks of this file share."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.cls = nn.Parameter(torch.zeros(1, 1, 16))
        self.registers = nn.Parameter(torch.zeros(1, 3, 16))
        self.linear, self.qkv = nn.Linear(16, 16), nn.Linear(16, 48)
        self.down, self.c3 = nn.Conv2d(16, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1)
        self.c5, self.stem = nn.Conv2d(16, 16, 5, 1, 2), nn.Conv2d(3, 16, 3, 1, 1)
        self.stem2 = nn.Conv2d(3, 16, 3, 2, 1)

    def attention(self, t: Tensor) -> Tensor:
        q, k, v = self.qkv(t).chunk(3, -1)
        return t + (q @ k.transpose(1, 2)).softmax(-1) @ v

    def tokens(self, x: Tensor) -> Tensor:
        x = self.patch(x)
        self.grid = x.shape
        return x.flatten(2).transpose(1, 2)

    def map(self, t: Tensor) -> Tensor:
        return t.transpose(1, 2).reshape(self.grid)

    def relative(self, q: Tensor, k: Tensor) -> Tensor:
        """Logits of relative positions along the rows' columns, by the pad-and-reshape skew of BoTNet."""
        b, h, w, _ = q.shape
        x = F.pad((q @ k.t()).reshape(-1, w, 2 * w - 1), [0, 1]).flatten(1)
        x = F.pad(x, [0, w - 1]).reshape(-1, w + 1, 2 * w - 1)[:, :w, w - 1 :]
        return x.reshape(b, h, 1, w, w).expand(-1, -1, h, -1, -1)


def windows(x: Tensor, size: int) -> Tensor:
    n, c, h, w = x.shape
    x = x.view(n, c, h // size, size, w // size, size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(-1, size * size, c)


def unwindowed(t: Tensor, size: int, shape: tuple[int, ...]) -> Tensor:
    n, c, h, w = shape
    t = t.reshape(n, h // size, w // size, size, size, c)
    return t.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


class ClassToken(Parts):
    def forward(self, x):
        t = torch.cat([self.cls, self.tokens(x)], 1)
        return self.down(self.map((t + self.linear(t))[:, 1:]))


class ClassTokenLast(Parts):
    def forward(self, x):
        t = torch.cat([self.tokens(x), self.cls], 1)
        return self.down(self.map(self.attention(self.linear(t))[:, :-1]))


class Registers(Parts):
    def forward(self, x):
        t = self.attention(torch.cat([self.cls, self.tokens(x), self.registers], 1))
        return self.down(self.map(t.split([1, t.shape[1] - 4, 3], 1)[1]))


class ConvolutionsBetweenTokens(Parts):
    def forward(self, x):
        t = torch.cat([self.cls, self.tokens(x)], 1)
        for _ in range(2):
            t = self.attention(t)
            m = self.map(t[:, 1:])
            m = m + self.c3(m)
            t = torch.cat([t[:, :1], m.flatten(2).transpose(1, 2)], 1)
        return self.down(self.map(t[:, 1:]))


class TwoScales(Parts):
    def forward(self, x):
        t = self.tokens(x)
        coarse = self.down(self.map(t))
        joined = self.linear(torch.cat([t, coarse.flatten(2).transpose(1, 2)], 1))
        return self.c3(joined[:, t.shape[1] :].transpose(1, 2).reshape(coarse.shape))


class TokenInTheMiddle(Parts):
    def forward(self, x):
        t = self.tokens(x)
        half = t.shape[1] // 2
        t = self.linear(torch.cat([t[:, :half], self.cls, t[:, half:]], 1))
        return self.down(self.map(torch.cat([t[:, :half], t[:, half + 1 :]], 1)))


class TokensOneByOne(Parts):
    def forward(self, x):
        t = torch.cat([self.cls, self.tokens(x)], 1).unbind(1)
        return self.down(torch.stack([2 * token for token in t[1:]], 2).reshape(self.grid))


class RowsOneByOne(Parts):
    def forward(self, x):
        x = self.stem(x)
        return self.down(torch.stack([2 * x[:, :, i] for i in range(x.shape[2])], 2))


class Quarters(Parts):
    def forward(self, x):
        x = self.stem(x)
        rows = [torch.cat([part * 2 for part in half.chunk(2, 3)], 3) for half in x.chunk(2, 2)]
        return self.down(torch.cat(rows, 2))


class HalvesSwappedTwice(Parts):
    def forward(self, x):
        x = self.stem(x)
        for _ in range(2):
            x = torch.cat(x.chunk(2, 2)[::-1], 2)
        return self.down(x)


class BranchesAsChannels(Parts):
    def forward(self, x):
        x = self.stem(x)
        return torch.stack([x, self.c3(x), self.c5(x)], 1).flatten(1, 2)


class TwoPooledGates(Parts):
    def forward(self, x):
        x = self.stem(x)
        gates = [F.interpolate(F.avg_pool2d(x, k), x.shape[2:]).sigmoid() for k in (5, 7)]
        return self.c3(x * gates[0] * gates[1])


class TokensFirst(Parts):
    def forward(self, x):
        x = self.patch(x)
        t = torch.cat([self.cls, x.flatten(2).permute(2, 0, 1)], 0)
        return self.down(self.linear(t)[1:].permute(1, 2, 0).reshape(x.shape))


class Sorted(Parts):
    def forward(self, x):
        t = self.tokens(x)
        order = torch.tensor([(7 * i + 3) % t.shape[1] for i in range(t.shape[1])])
        return self.down(self.map(self.linear(t[:, order])[:, order.argsort()]))


class CrossScan(Parts):
    def forward(self, x):
        x = self.stem(x)
        n, c, h, w = x.shape
        scans = torch.stack([x.flatten(2), x.transpose(2, 3).flatten(2)], 1)
        y = torch.cat([scans, scans.flip(-1)], 1) * 2
        back = y[:, 2:].flip(-1)
        rows, columns = y[:, 0] + back[:, 0], y[:, 1] + back[:, 1]
        columns = columns.view(n, c, w, h).transpose(2, 3).flatten(2)
        return self.c3((rows + columns).view(n, c, h, w))


class StackedSum(Parts):
    def forward(self, x):
        x = self.stem(x)
        return torch.stack([x, self.c3(x), self.c5(x)]).sum(0)


class SelectiveKernel(Parts):
    def forward(self, x):
        x = self.stem(x)
        y = torch.stack([self.c3(x), self.c5(x)], 1)
        pooled = y.sum(1).mean((2, 3), keepdim=True)
        return (y * torch.stack([pooled, 2 * pooled], 1).softmax(1)).sum(1)


class StackedExtrema(Parts):
    def forward(self, x):
        x = self.stem(x)
        y = torch.stack([x, self.c3(x), self.c5(x)], -1)
        return y.max(-1).values + y.mean(-1)


class StackedChoice(Parts):
    def forward(self, x):
        x = self.stem(x)
        return torch.stack([x, self.c3(x), self.c5(x)], 2)[:, :, 1]


class BranchAttention(Parts):
    def forward(self, x):
        x = self.stem(x)
        y = torch.stack([x, self.c3(x), self.c5(x)], 1)
        n, k, c, h, w = y.shape
        t = y.permute(0, 3, 4, 1, 2).reshape(-1, k, c)
        t = (t @ t.transpose(1, 2)).softmax(-1) @ t
        return t.mean(1).view(n, h, w, c).permute(0, 3, 1, 2)


class OddGate(Parts):
    def forward(self, x):
        x = self.stem(x)
        gate = F.interpolate(self.c3(F.avg_pool2d(x, 2)), size=x.shape[2:], mode="nearest")
        return self.down(x * gate.sigmoid())


class DecoderOfOddSize(Parts):
    def forward(self, x):
        low = self.stem2(x)
        high = self.down(self.down(low))
        up = F.interpolate(high, size=low.shape[2:], mode="bilinear", align_corners=True)
        return self.c3(low + up)


class UnfoldAttention(Parts):
    def forward(self, x):
        x = self.stem(x)
        n, c, h, w = x.shape
        near = F.unfold(x, 3, padding=1).view(n, c, 9, h, w)
        weights = (x[:, :, None] * near).sum(1, keepdim=True).softmax(2)
        return (weights * near).sum(2)


class TensorUnfoldAttention(Parts):
    def forward(self, x):
        x = self.stem(x)
        n, c, h, w = x.shape
        near = F.pad(x, [1] * 4).unfold(2, 3, 1).unfold(3, 3, 1).reshape(n, c, h, w, 9)
        weights = torch.einsum("nchw,nchwk->nhwk", x, near).softmax(-1)
        return torch.einsum("nhwk,nchwk->nchw", weights, near)


class SpatialTransformer(Parts):
    def forward(self, x):
        theta = F.adaptive_avg_pool2d(self.stem2(x), 1).flatten(1)[:, :6].view(-1, 2, 3)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return self.stem2(F.grid_sample(x, grid, align_corners=False))


class Warped(Parts):
    def forward(self, x):
        x = self.stem(x)
        return self.c3(F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False))


class WindowsWithClassToken(Parts):
    def forward(self, x):
        x = self.stem(x)
        t = windows(x, 4)
        t = self.attention(torch.cat([self.cls.expand(t.shape[0], -1, -1), t], 1))[:, 1:]
        return self.c3(unwindowed(t, 4, x.shape))


class RelativeWindows(Parts):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = nn.Parameter(torch.randn(7, 16)), nn.Parameter(torch.randn(7, 16))

    def forward(self, x):
        x = self.stem(x)
        q, k, v = self.qkv(windows(x, 4)).chunk(3, -1)
        grid = q.reshape(-1, 4, 4, 16)
        across = self.relative(grid, self.columns).permute(0, 1, 3, 2, 4)
        down = self.relative(grid.transpose(1, 2), self.rows).permute(0, 3, 1, 4, 2)
        weights = (q @ k.transpose(1, 2) + (across + down).reshape(-1, 16, 16)).softmax(-1)
        return self.down(unwindowed(weights @ v, 4, x.shape))


class RelativeEverywhere(Parts):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = nn.Parameter(torch.randn(15, 16)), nn.Parameter(torch.randn(15, 16))

    def forward(self, x):
        x = self.stem(x)
        n, c, h, w = x.shape
        q, k, v = self.qkv(x.flatten(2).transpose(1, 2)).chunk(3, -1)
        grid = q.reshape(n, h, w, c)
        across = self.relative(grid, self.columns).permute(0, 1, 3, 2, 4)
        down = self.relative(grid.transpose(1, 2), self.rows).permute(0, 3, 1, 4, 2)
        weights = (q @ k.transpose(1, 2) + (across + down).reshape(n, h * w, h * w)).softmax(-1)
        return x + (weights @ v).transpose(1, 2).reshape(n, c, h, w)


class Halo(Parts):
    def forward(self, x):
        x = self.stem(x)
        q = windows(x, 4)
        near = F.pad(x, [1] * 4).unfold(2, 6, 4).unfold(3, 6, 4)
        n, c, rows, columns, _, _ = near.shape
        k, v = (near.reshape(n, c, rows * columns, 36).permute(0, 2, 3, 1).reshape(-1, 36, c) for _ in "kv")
        return unwindowed((q @ k.transpose(1, 2)).softmax(-1) @ v, 4, x.shape)


class FoldedBack(Parts):
    def forward(self, x):
        x = self.stem(x)
        columns = F.unfold(x, 3, padding=1, stride=2)
        return F.fold(columns * 2, x.shape[2:], 3, padding=1, stride=2)


class Outlook(Parts):
    def __init__(self):
        super().__init__()
        self.weights = nn.Conv2d(16, 81, 1)

    def forward(self, x):
        x = self.stem(x)
        n, c, h, w = x.shape
        values = F.unfold(x, 3, padding=1).view(n, c, 9, h * w)
        weights = self.weights(x).view(n, 9, 9, h * w).softmax(2)
        y = torch.einsum("bckl,bkjl->bcjl", values, weights).reshape(n, c * 9, h * w)
        return F.fold(y, (h, w), 3, padding=1)
