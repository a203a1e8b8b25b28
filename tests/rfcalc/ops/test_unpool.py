"""Folding, unpooling and complex convolutions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rfcalc import analyze, verify

UNSURE = {"unknown", "probed"}


class Outlook(nn.Module):
    """Windows mixed by weights of their centre, and folded back."""

    def __init__(self, kernel=3, stride=1, padding=1, dilation=1):
        super().__init__()
        self.settings = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        self.taps = kernel**2
        self.v, self.a = nn.Conv2d(3, 4, 1), nn.Linear(self.taps, self.taps)

    def forward(self, x):
        size = x.shape[2:]
        columns = F.unfold(self.v(x), **self.settings).unflatten(1, (4, self.taps))
        mixed = self.a(columns.transpose(2, 3)).transpose(2, 3).flatten(1, 2)
        return F.fold(mixed, size, **self.settings)


@pytest.mark.parametrize(
    ("settings", "size", "size_min"),
    [((3, 1, 1), 5, 5), ((3, 1, 2, 2), 9, 9), ((2, 2, 0), 2, 2), ((3, 2, 1), 5, 3), ((4, 2, 1), 6, 6)],
    ids=["3x3", "dilated", "patches", "half overlapping", "4x4 every 2"],
)
def test_a_fold_reads_the_windows_that_cover_a_place(settings, size, size_min):
    net = Outlook(*settings)
    analysis = analyze(net, (3, 16, 12))
    field = analysis.output
    assert (field.size, field.size_min) == ((size, size), (size_min, size_min))
    assert field.jump == (1, 1)
    assert not field.flags & UNSURE
    result = verify(net, analysis, units=0, rows=[analysis.rows[-1].name])
    assert result.checked == 16 * 12
    assert not result.mismatches


def test_outlook_attention_sees_five_by_five():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.v, self.a = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 81, 1)

        def forward(self, x):
            batch, _, height, width = x.shape
            v = F.unfold(self.v(x), 3, padding=1).view(batch, 4, 9, height * width)
            a = self.a(x).view(batch, 9, 9, height * width).softmax(2)
            y = torch.einsum("bckl,bkjl->bcjl", v, a).reshape(batch, 36, height * width)
            return F.fold(y, (height, width), 3, padding=1)

    net = Attention()
    analysis = analyze(net, (3, 16, 16))
    assert (analysis.field.size, analysis.field.jump) == ((5, 5), (1, 1))
    assert not analysis.field.is_global
    assert not verify(net, analysis).mismatches


def test_unfold_and_fold_without_mixing_puts_each_place_back():
    class Same(nn.Module):
        def forward(self, x):
            return F.fold(F.unfold(x, 3, padding=1), x.shape[2:], 3, padding=1)

    analysis = analyze(Same(), (2, 9, 9))
    assert analysis.output.size == (1, 1)
    assert not analysis.output.flags
    assert verify(None, analysis).ok


class SegNet(nn.Module):
    """Pooling that hands its indices to the unpooling; `d` axes."""

    def __init__(self, d, kernel=2, stride=None, padding=0):
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[d - 1]
        self.a, self.b = conv(2, 4, 3, padding=1), conv(4, 4, 3, padding=1)
        self.pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[d - 1](
            kernel, stride, padding, return_indices=True
        )
        self.up = (nn.MaxUnpool1d, nn.MaxUnpool2d, nn.MaxUnpool3d)[d - 1](kernel, stride, padding)

    def forward(self, x):
        y, indices = self.pool(self.a(x))
        return self.b(self.up(y.relu(), indices, output_size=x.shape[2:]))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_unpooling_stays_in_the_window_of_its_pooling(d):
    field = analyze(SegNet(d), (2, *(16,) * d)).output
    # 3 by the first convolution, 4 by the pooling; three places of the unpooled map are two windows: 6.
    assert field.size == (6,) * d
    assert field.jump == (1,) * d
    assert "data-dependent" in field.flags
    assert not field.flags & UNSURE
    assert not field.is_global


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 3, 0)])
def test_what_an_unpooled_place_can_depend_on_is_covered(kernel, stride, padding):
    """Autograd at many images: the union of what is reached never leaves the field."""
    net = SegNet(2, kernel, stride, padding)
    size = 12
    field = analyze(net, (2, size, size)).output
    for y, x in ((0, 0), (5, 6), (size - 1, 4)):
        reached = torch.zeros(size, size, dtype=torch.bool)
        for seed in range(20):
            image = torch.randn(1, 2, size, size, generator=torch.Generator().manual_seed(seed))
            image.requires_grad_()
            (gradient,) = torch.autograd.grad(net(image)[0, :, y, x].sum(), image)
            reached |= (gradient != 0).any(1)[0]
        assert reached.any()
        assert not (reached & ~field.mask(y, x)).any()


def test_indices_of_an_adaptive_pooling_are_known_too():
    class Net(nn.Module):
        def forward(self, x):
            y, i = F.adaptive_max_pool2d(x, (4, 4), return_indices=True)
            return F.max_unpool2d(y, i, 2, output_size=x.shape[2:])

    field = analyze(Net(), (2, 8, 8)).output
    assert field.inputs_seen(3, 5) == ({2, 3}, {4, 5})
    assert "data-dependent" in field.flags


def test_indices_of_another_map_may_point_anywhere():
    class Net(nn.Module):
        def forward(self, x):
            y, i = F.max_pool2d(x, 2, return_indices=True)
            return F.max_unpool2d(y, i, 2, output_size=(x.shape[2], x.shape[3] + 1))

    field = analyze(Net(), (2, 8, 8)).output
    assert field.is_global
    assert "data-dependent" in field.flags


class Complex(nn.Module):
    def __init__(self, d=2, **settings):
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[d - 1]
        self.a = conv(3, 4, 3, dtype=torch.complex64, **settings)
        self.b = conv(4, 4, 3, padding=1, dtype=torch.complex64)

    def forward(self, x):
        return self.b(self.a(x.to(torch.complex64))).abs()


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize(
    ("settings", "size", "jump"), [({"padding": 1}, 5, 1), ({"stride": 2, "padding": 1}, 7, 2)], ids=str
)
def test_complex_convolutions_are_as_real_ones(d, settings, size, jump):
    net = Complex(d, **settings)
    analysis = analyze(net, (3, *(8,) * d))
    assert analysis.field.size == (size,) * d
    assert analysis.field.jump == (jump,) * d
    assert not analysis.field.flags
    assert sum(row.params for row in analysis.rows) == sum(p.numel() for p in net.parameters())
    result = verify(net, analysis)
    assert result.checked > 9
    assert not result.mismatches
    assert not result.skipped


def test_complex_numbers_made_of_real_ones_and_taken_apart():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 5, padding=2)

        def forward(self, x):
            z = torch.view_as_complex(torch.stack([self.a(x), self.b(x)], -1))
            return torch.view_as_real(z * z.conj()).sum(-1) + torch.complex(self.a(x), self.b(x)).real

    net = Net()
    analysis = analyze(net, (3, 9, 9))
    assert analysis.output.size == (5, 5)
    # The real part alone sees 3x3: picking one of two parts that differ is a bound.
    assert "upper bound" in analysis.output.flags
    result = verify(net, analysis)
    assert result.checked > 9
    assert not result.mismatches
