"""Short words for networks that are worked out by hand, and their comparison with float64 gradients."""

from fractions import Fraction

from torch import nn

from rfcalc.questions.oracle import verify

HALF, THIRD = Fraction(1, 2), Fraction(1, 3)


class Fn(nn.Module):
    """A network given as a function of its input and of layers that it makes on first use."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


def conv(kernel, stride=1, padding=None, dilation=1, channels=(1, 1), **settings):
    if padding is None:
        padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(*channels, kernel, stride, padding, dilation, **settings)


def transposed(kernel, stride=1, padding=0, extra=0, dilation=1):
    return nn.ConvTranspose2d(1, 1, kernel, stride, padding, extra, dilation=dilation)


def chain(*layers):
    return nn.Sequential(*layers)


def run(low, high, step=1):
    return set(range(low, high + 1, step))


UP = {"scale_factor": 2}


def agrees_with_gradients(analysis, units=0):
    """Check `units` units of the last row; 0: all of them."""
    result = verify(None, analysis, units=units, rows=[analysis.rows[-1].name])
    assert result.checked > 0
    assert not result.mismatches
    assert not result.skipped
