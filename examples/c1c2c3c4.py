"""A CIFAR-10 network within this project's budget, written plainly: C1, C2, C3, C4, output.

Look at it with `python -m rfcalc examples/c1c2c3c4.py`.
"""

import torch
from torch import nn


def conv(width_in, width_out, stride=1, dilation=1):
    """3x3 convolution, batch norm, ReLU; padded so that only the stride changes the map's size."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride=stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    )


def separable(width_in, width_out, stride=1):
    """Depthwise 3x3, then pointwise 1x1: the same receptive field as `conv` for an eighth of the weights."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_in, 3, stride=stride, padding=1, groups=width_in, bias=False),
        nn.BatchNorm2d(width_in),
        nn.ReLU(),
        nn.Conv2d(width_in, width_out, 1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    )


class Net(nn.Module):
    """(N, 3, 32, 32) -> (N, 10)."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Sequential(conv(3, 24), conv(24, 32), conv(32, 48, stride=2))
        self.c2 = nn.Sequential(separable(48, 64), separable(64, 64, stride=2))
        self.c3 = nn.Sequential(separable(64, 80), conv(80, 40, dilation=2))
        self.c4 = nn.Sequential(separable(40, 96), separable(96, 112), separable(112, 112))
        self.output = nn.Linear(112, 10)

    def forward(self, x):
        """Return the class scores of a batch of images."""
        x = self.c4(self.c3(self.c2(self.c1(x))))
        return self.output(x.mean((2, 3)))


if __name__ == "__main__":
    print(Net()(torch.zeros(1, 3, 32, 32)).shape)
