"""Depthwise kernels: the op, the choice between Triton and torch; interpreted_kernels.py has the kernels."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from training.fit import depthwise as module
from training.fit.depthwise import WORTH_STEPS, Shape, depthwise, faster_depthwise, suits

CASES = [
    (side, stride, dilation)
    for side, stride, dilation in ((3, 1, 1), (3, 2, 1), (5, 2, 1), (5, 1, 2), (7, 1, 3), (7, 2, 1))
]


def expected(side: int, stride: int, dilation: int, channels: int, size: tuple[int, int]):
    """Images, kernel, output, its gradient, and both gradients by torch in float64."""
    torch.manual_seed(side)
    padding = dilation * (side // 2)
    images = torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(channels, 1, side, side, dtype=torch.float64, requires_grad=True)
    output = F.conv2d(images, kernel, None, stride, padding, dilation, channels)
    gradient = torch.randn_like(output)
    pulled = torch.autograd.grad(output, (images, kernel), gradient)
    return images.detach(), kernel.detach(), output.detach(), gradient, *pulled


def test_the_kernels_are_torchs_in_a_process_of_their_own():
    """Triton decides whether it interprets when it is first imported, perhaps by torch."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    file = Path(__file__).with_name("interpreted_kernels.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(file)],
        env=os.environ | {"TRITON_INTERPRET": "1"}, cwd=file.parents[3], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"{2 * len(CASES) + 1} passed" in done.stdout


@pytest.mark.parametrize(("side", "stride", "dilation"), CASES)
def test_the_op_has_the_gradients_of_torch(side, stride, dilation):
    images, kernel, output, gradient, of_images, of_kernel = expected(side, stride, dilation, 3, (7, 6))
    images.requires_grad_()
    kernel.requires_grad_()
    made = depthwise(images, kernel, stride, dilation * (side // 2), dilation)
    assert torch.allclose(made, output)
    pulled = torch.autograd.grad(made, (images, kernel), gradient)
    assert torch.allclose(pulled[0], of_images)
    assert torch.allclose(pulled[1], of_kernel)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # of the check itself
def test_the_op_is_what_torch_expects_of_one():
    images = torch.randn(2, 3, 6, 5, requires_grad=True)
    kernel = torch.randn(3, 1, 3, 3, requires_grad=True)
    torch.library.opcheck(depthwise, (images, kernel, 2, 1, 1))


@pytest.mark.parametrize(
    ("layer", "suited"),
    [
        (nn.Conv2d(8, 8, 3, 1, 1, groups=8), True),
        (nn.Conv2d(8, 8, 7, 2, 9, dilation=3, groups=8), True),
        (nn.Conv2d(8, 8, 3, groups=4), False),
        (nn.Conv2d(8, 16, 3, groups=8), False),
        (nn.Conv2d(8, 8, (3, 5), groups=8), False),
        (nn.Conv2d(8, 8, 9, groups=8), False),
        (nn.Conv2d(8, 8, 3, 3, groups=8), False),
        (nn.Conv2d(8, 8, 3, padding="same", groups=8), False),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect", groups=8), False),
        (nn.Conv2d(1, 1, 3), False),
        (nn.ConvTranspose2d(8, 8, 3, groups=8), False),
    ],
)
def test_only_layers_that_the_kernels_know_are_suited(layer, suited):
    assert suits(layer) == suited


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 8, 5, 2, 2, groups=8),
        nn.Conv2d(8, 8, 3, 1, 3, dilation=3, groups=8, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


class Gpu:
    """A device that says it is CUDA to the choice alone."""

    type = "cuda"


@pytest.fixture
def pretended(monkeypatch, network):
    """The choice, made as on CUDA but computed here; returns the shapes that were asked about."""
    asked: list[Shape] = []
    shapes = module._shapes
    monkeypatch.setattr(module, "_is_faster", lambda shape: asked.append(shape) is None and shape.side == 5)
    monkeypatch.setattr(
        module, "_shapes", lambda model, layers, shape, *more: shapes(model, layers, shape, "cpu", "float32")
    )
    monkeypatch.setattr(module, "autocast", lambda device, precision: torch.autocast("cpu", enabled=False))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, "find_spec", lambda name: object() if name == "triton" else found(name)
    )
    return asked


def test_layers_that_were_measured_to_be_faster_are_replaced_in_training(pretended, network):
    images = torch.randn(4, 3, 8, 6)
    before = network(images)
    with faster_depthwise(network, (16, 3, 8, 6), Gpu(), "float32", WORTH_STEPS):
        replaced = [index for index, layer in enumerate(network) if "forward" in vars(layer)]
        assert replaced == [1]
        assert torch.allclose(network.train()(images), before, atol=1e-6)
        assert torch.equal(network.eval()(images), before)
    assert not any("forward" in vars(layer) for layer in network)
    assert pretended == [
        Shape((16, 8, 8, 6), 5, 2, 2, 1, torch.float32),
        Shape((16, 8, 4, 3), 3, 1, 3, 3, torch.float32),
    ]


def test_a_broken_triton_is_one_notice_and_torch(pretended, network, monkeypatch):
    def broken(shape: Shape) -> bool:
        raise RuntimeError("PTX was compiled with an unsupported toolchain\nmore")

    module._noticed().clear()
    monkeypatch.setattr(module, "_is_faster", broken)
    notices: list[str] = []
    for _ in range(2):
        with faster_depthwise(network, (16, 3, 8, 6), Gpu(), "float32", WORTH_STEPS, notices.append):
            assert not any("forward" in vars(layer) for layer in network)
    assert notices == [
        "depthwise layers are computed by torch, since Triton failed (PTX was compiled with an unsupported "
        "toolchain)"
    ]


def test_without_triton_or_a_gpu_or_in_a_short_run_nothing_is_asked(pretended, network, monkeypatch):
    with faster_depthwise(network, (16, 3, 8, 6), torch.device("cpu"), "float32", WORTH_STEPS):
        pass
    with faster_depthwise(network, (16, 3, 8, 6), Gpu(), "float32", WORTH_STEPS - 1):
        pass
    found = importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, "find_spec", lambda name: None if name == "triton" else found(name)
    )
    with faster_depthwise(network, (16, 3, 8, 6), Gpu(), "float32", WORTH_STEPS):
        pass
    assert pretended == []
