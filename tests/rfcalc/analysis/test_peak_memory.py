"""Peak memory: the largest sum of tensors alive, by hand."""

from torch import nn

from rfcalc.analysis.analyze import analyze


def test_peak_memory_is_the_largest_sum_of_tensors_alive():
    # input 3x8x8, conv 4x8x8, pool 4x4x4: the first convolution holds its input and output.
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2))
    assert analyze(net, (3, 8, 8)).peak_activation_bytes == 4 * (3 + 4) * 64
    # Out of place, ReLU holds two maps of four channels.
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
    assert analyze(net, (3, 8, 8)).peak_activation_bytes == 4 * (4 + 4) * 64


def test_a_shortcut_stays_alive_until_it_is_added():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            return x + self.b(self.a(x))

    assert analyze(Residual(), (2, 4, 4)).peak_activation_bytes == 4 * 3 * 2 * 16


def test_views_share_the_memory_of_their_tensor():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Unflatten(1, (3, 4, 4)), nn.Conv2d(3, 1, 1))
    assert analyze(net, (3, 4, 4)).peak_activation_bytes == 4 * 2 * 3 * 16
