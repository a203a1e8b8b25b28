"""What is left out of the MACs, with its size: attention products, sampling, transforms."""

import pytest
import torch
from torch import nn

from rfcalc.analysis.analyze import analyze


class Attention(nn.Module):
    """Attention over the positions of a map: fused, by hand, or as a module."""

    def __init__(self, way):
        super().__init__()
        self.way, self.qkv = way, nn.Conv2d(4, 12, 1)
        self.module = nn.MultiheadAttention(4, 2, batch_first=True) if "module" in way else None

    def forward(self, x):
        q, k, v = (t.flatten(2).transpose(1, 2) for t in self.qkv(x).chunk(3, 1))
        if self.module is not None:
            return self.module(q, k, v, need_weights=self.way == "module with weights")[0]
        if self.way == "fused":
            return torch.nn.functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])
        if self.way == "einsum":
            return torch.einsum("nls,nsd->nld", torch.einsum("nld,nsd->nls", q, k).softmax(-1), v)
        return (q @ k.transpose(1, 2)).softmax(-1) @ v


@pytest.mark.parametrize("way", ["by hand", "einsum", "fused", "module", "module with weights"])
def test_attention_products_have_a_size_however_they_are_written(way):
    net = Attention(way)
    analysis, everything = analyze(net, (4, 3, 5)), analyze(net, (4, 3, 5), count_all=True)
    assert sum(analysis.uncounted_macs.values()) == 2 * 15 * 15 * 4
    assert everything.macs - analysis.macs == 2 * 15 * 15 * 4
    assert sum(row.macs for row in everything.rows) == everything.macs


def test_sampling_and_transforms_have_a_size():
    class Sampled(nn.Module):
        def forward(self, x):
            theta = x.mean((2, 3))[:, :1, None] * torch.eye(2, 3)
            grid = torch.nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
            y = torch.nn.functional.grid_sample(x, grid, align_corners=False)
            return torch.fft.fft2(y).abs()

    sizes = analyze(Sampled(), (3, 8, 8)).uncounted_macs
    assert sizes["grid_sampler_2d"] == 3 * 64 * 4
    assert sizes["_fft_c2c"] == 2 * 3 * 64 * 6
