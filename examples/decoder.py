"""A small segmentation network with transposed convolutions, where most receptive-field tools go wrong.

`up1` has a kernel that its stride divides, `up2` one that it does not: its outputs take turns in seeing more
and less of the image, the cause of checkerboard patterns. `--lint` says so.
"""

import torch
from torch import nn


def block(width_in, width_out, stride=1):
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    )


class Decoder(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W); H and W divisible by 4."""

    def __init__(self, classes=4):
        super().__init__()
        self.stem = block(3, 16)
        self.down1 = block(16, 32, stride=2)
        self.down2 = block(32, 64, stride=2)
        self.up1 = nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1)
        self.merge1 = block(64, 32)
        self.up2 = nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1)
        self.merge2 = block(32, 16)
        self.head = nn.Conv2d(16, classes, 1)

    def forward(self, x):
        """Return one map of scores for each class."""
        full = self.stem(x)
        half = self.down1(full)
        x = self.up1(self.down2(half))
        x = self.merge1(torch.cat([x, half], dim=1))
        x = self.up2(x)
        x = self.merge2(torch.cat([x, full], dim=1))
        return self.head(x)
