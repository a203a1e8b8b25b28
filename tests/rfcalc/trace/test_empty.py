"""Networks that find nothing: boxes, masks and tokens of which there are none."""

from __future__ import annotations

import torch
from torch import nn

import rfcalc


class FindsNothing(nn.Module):
    """A detector in small: places above a threshold, of which there are none, and what is done with them."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 7)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.c(x).flatten(2).permute(0, 2, 1)
        kept = y[y[..., 0] > 1e9]
        return {
            "map": y,
            "boxes": kept.reshape(0, 2, 2).reshape(2, 0, 2).flatten(1),
            "scores": self.head(kept).softmax(-1),
            "wide": kept.view(-1, 4, 1).expand(0, 4, 5),
        }


def test_tensors_without_elements_are_analysed() -> None:
    analysis = rfcalc.analyze(FindsNothing(), (3, 8, 8))
    assert analysis.outputs["map"].size == (3, 3)
    assert "data-dependent" in analysis.outputs["boxes"].flags
    assert analysis.macs >= 6 * 6 * 4 * 27
