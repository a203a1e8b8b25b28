"""Four blocks of dilated and depthwise layers with 1x1 transitions, GAP, a linear layer: 197,613 parameters.

The published table lists layers, output shapes and parameters. It does not settle the dilation in blocks 3
and 4: 2 is chosen here. No convolution has a bias, nor has the linear layer.
"""

from __future__ import annotations

from torch import Tensor, nn

DROPOUT = 0.1
"""The table names the dropout layers, not their probability; 0.1 is chosen here."""


def _conv(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)


def _tail(channels: int) -> list[nn.Module]:
    return [nn.ReLU(), nn.BatchNorm2d(channels), nn.Dropout(DROPOUT)]


class Cifar10DilatedBlocks(nn.Module):
    """Images (N, 3, 32, 32) to class scores (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(
            *(_conv(3, 64), *_tail(64)),  # 32 to 30
            *(_conv(64, 64, padding=2, dilation=2), *_tail(64)),
            _conv(64, 30, 1),
            *(_conv(30, 30, stride=2), nn.ReLU()),  # 30 to 14
        )
        self.block2 = nn.Sequential(
            *(_conv(30, 30, padding=1, groups=30), *_tail(30)),
            _conv(30, 64, 1),
            *(_conv(64, 64, padding=2, dilation=2), *_tail(64)),
            _conv(64, 30, 1),
            *(_conv(30, 30, dilation=3), nn.ReLU()),  # 14 to 8
        )
        self.block3 = nn.Sequential(
            *(_conv(30, 64, padding=1), *_tail(64)),
            *(_conv(64, 64, padding=2, dilation=2), *_tail(64)),
            _conv(64, 30, 1),
            *(_conv(30, 30, padding=1, stride=2), nn.BatchNorm2d(30), nn.ReLU()),  # 8 to 4
        )
        self.block4 = nn.Sequential(
            *(_conv(30, 35, padding=1), *_tail(35)),
            *(_conv(35, 35, padding=2, dilation=2), *_tail(35)),
            *(_conv(35, 44, padding=1), nn.ReLU(), nn.BatchNorm2d(44)),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(44, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores of a batch of images."""
        x = self.block4(self.block3(self.block2(self.block1(x))))
        scores: Tensor = self.fc(self.pool(x).flatten(1))
        return scores


def build_model() -> Cifar10DilatedBlocks:
    """Return the network with fresh weights."""
    return Cifar10DilatedBlocks()
