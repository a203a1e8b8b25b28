import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from training.fit.precision import autocast, float32_where_bfloat16_is_unfit

CPU = torch.device("cpu")


class Convolutions(TorchDispatchMode):
    """Notes the dtype of the images that reach each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.convolution, torch.ops.aten._convolution):
            self.dtypes.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


def depthwise(kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(4, 4, kernel, stride, kernel // 2 * dilation, dilation, groups=4)


def seen(model: nn.Module, precision: str = "bfloat16") -> list[torch.dtype]:
    narrow, mode = autocast(CPU, precision), Convolutions()
    with float32_where_bfloat16_is_unfit(model, CPU, precision), narrow, mode:
        model(torch.randn(2, 4, 16, 16))
    return mode.dtypes


@pytest.mark.parametrize(
    ("layer", "widened"),
    [
        (depthwise(), False),
        (depthwise(kernel=5), True),
        (depthwise(stride=2), True),
        (depthwise(dilation=2), True),
        (nn.Conv2d(4, 4, 5, 2, 2), False),
        (nn.Conv2d(4, 4, 1), False),
        (nn.Conv2d(4, 8, 5, padding=2, groups=2), False),
    ],
    ids=["3x3", "5x5", "strided", "dilated", "dense", "pointwise", "grouped"],
)
def test_only_depthwise_kernels_without_fast_bfloat16_code_compute_in_float32(layer, widened):
    assert seen(nn.Sequential(layer)) == [torch.float32 if widened else torch.bfloat16]


def test_what_comes_after_a_widened_kernel_is_bfloat16_again():
    model = nn.Sequential(nn.Conv2d(4, 4, 1), depthwise(5), nn.Conv2d(4, 4, 1))
    assert seen(model) == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_nothing_is_widened_in_float32_or_elsewhere():
    model = nn.Sequential(depthwise(5))
    with float32_where_bfloat16_is_unfit(model, CPU, "float32"):
        assert "forward" not in vars(model[0])
    with float32_where_bfloat16_is_unfit(model, torch.device("meta"), "bfloat16"):
        assert "forward" not in vars(model[0])


def test_the_network_is_the_same_afterwards_even_after_an_error():
    model = nn.Sequential(depthwise(5), nn.Conv2d(4, 4, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def train_and_fail() -> None:
        with float32_where_bfloat16_is_unfit(model, CPU, "bfloat16"):
            assert "forward" in vars(model[0])
            assert model.state_dict().keys() == before.keys()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_and_fail()
    assert all("forward" not in vars(module) for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_somebody_elses_forward_stays():
    model = nn.Sequential(depthwise(5))
    model[0].forward = own = lambda images: images
    with float32_where_bfloat16_is_unfit(model, CPU, "bfloat16"):
        assert model[0].forward is own
    assert model[0].forward is own


def test_gradients_reach_a_widened_kernel_in_float32():
    model = nn.Sequential(depthwise(5))
    with float32_where_bfloat16_is_unfit(model, CPU, "bfloat16"), autocast(CPU, "bfloat16"):
        output = model(torch.randn(2, 4, 8, 8))
    assert output.dtype == torch.float32  # as autocast leaves what it was given
    output.sum().backward()
    assert model[0].weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("layer", "size", "widened"),
    [
        (nn.Conv2d(52, 52, 3, padding=2, dilation=2), 32, True),
        (nn.Conv2d(52, 64, 5, padding=4, dilation=2), 32, True),
        (nn.Conv2d(32, 32, 3, padding=2, dilation=2, groups=4), 32, True),
        (nn.ConvTranspose2d(48, 52, 3, padding=2, dilation=2), 32, True),
        (nn.Conv2d(52, 52, 3, padding=2, dilation=2), 16, False),
        (nn.Conv2d(52, 52, 3, padding=1), 32, False),
        (nn.Conv2d(52, 52, 1, dilation=2), 32, False),
        (nn.Conv2d(48, 52, 3, padding=2, dilation=2), 32, False),
        (nn.ConvTranspose2d(52, 48, 3, padding=2, dilation=2), 32, False),
    ],
    ids=[
        *("52 channels", "5x5", "8 channels a group", "transposed"),
        *("16x16", "not dilated", "1x1", "48 channels", "transposed to 48"),
    ],
)
def test_dilated_layers_whose_gradient_is_wrong_in_bfloat16_compute_in_float32(layer, size, widened):
    mode = Convolutions()
    with float32_where_bfloat16_is_unfit(layer, CPU, "bfloat16"), autocast(CPU, "bfloat16"), mode:
        nn.Sequential(layer)(torch.randn(1, layer.in_channels, size, size))
    assert mode.dtypes == [torch.float32 if widened else torch.bfloat16]


ONE_STEP = """
import torch
from torch import nn
from training.fit.precision import autocast, float32_where_bfloat16_is_unfit
torch.manual_seed(0)
cpu = torch.device("cpu")
layers = [
    nn.Conv2d(52, 52, 3, padding=2, dilation=2),
    nn.Conv2d(52, 20, 3, padding=3, dilation=3),
    nn.Conv2d(20, 48, 5, padding=4, dilation=2, groups=2),
    nn.ConvTranspose2d(48, 52, 3, padding=2, dilation=2),
]
images = torch.randn(4, 52, 32, 32).to(memory_format=torch.channels_last)
weights = {}
for precision in ("float32", "bfloat16"):
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    model.zero_grad()
    with float32_where_bfloat16_is_unfit(model, cpu, precision), autocast(cpu, precision):
        loss = model(images).square().mean()
    loss.backward()
    weights[precision] = [each.weight.grad.clone() for each in layers]
for right, ours in zip(weights["float32"], weights["bfloat16"]):
    print(float((right - ours).abs().max() / right.abs().max()))
"""


@pytest.mark.slow
def test_no_weight_gradient_reads_memory_that_nobody_wrote():
    """In a process whose allocator fills what it hands out: such a read is then wrong every time.

    The filling is glibc's (`man mallopt`, M_PERTURB); elsewhere, and on processors without bfloat16 code of
    that kind, the test compares with float32 all the same.
    """
    ended = subprocess.run(
        [sys.executable, "-c", ONE_STEP],
        cwd=Path(__file__).resolve().parents[3],
        env=os.environ | {"GLIBC_TUNABLES": "glibc.malloc.perturb=128"},
        capture_output=True,
        text=True,
        check=True,
    )
    gaps = [float(line) for line in ended.stdout.split()]
    assert len(gaps) == 4
    assert all(gap < 0.1 for gap in gaps), gaps  # NaN is not below
