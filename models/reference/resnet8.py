"""ResNet-8 of MLPerf Tiny: 78,186 trainable parameters, 12.50 M MACs, 86.2 % published.

Rebuilt from the Keras original: every convolution has a bias, and "same" padding of a strided 3x3 is one row
below and one column to the right. Its middle is then a pixel off the shortcut's 1x1: rfcalc says misaligned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the map shrinks."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        same = (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)  # left, right, top, bottom
        self.pad = nn.ZeroPad2d(same)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = torch.relu(self.norm1(self.conv1(self.pad(x))))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet8(nn.Module):
    """Images (N, 3, 32, 32) to class scores (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, padding=1), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        self.block1 = Block(WIDTHS[0], WIDTHS[0], stride=1)
        self.block2 = Block(WIDTHS[0], WIDTHS[1], stride=2)
        self.block3 = Block(WIDTHS[1], WIDTHS[2], stride=2)
        self.pool = nn.AvgPool2d(8)
        self.fc = nn.Linear(WIDTHS[2], 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores of a batch of images."""
        x = self.block3(self.block2(self.block1(self.stem(x))))
        scores: Tensor = self.fc(self.pool(x).flatten(1))
        return scores


def build_model() -> ResNet8:
    """Return the network with fresh weights."""
    return ResNet8()
