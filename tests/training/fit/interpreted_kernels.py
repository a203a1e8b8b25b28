"""The depthwise kernels by Triton's interpreter, against torch.

test_depthwise.py runs this file in a child process: Triton reads TRITON_INTERPRET when it is imported
for the first time.
"""

import pytest
import torch

from tests.training.fit.test_depthwise import CASES, expected
from training.fit import depthwise_triton as kernels

# Triton 3.6's interpreter converts arrays of one element as NumPy wishes they were not.
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0:DeprecationWarning")


@pytest.mark.parametrize(("side", "stride", "dilation"), CASES)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_kernels_are_torchs_in_float64(side, stride, dilation, layout):
    channels = 33 if side == 3 else 3
    found = expected(side, stride, dilation, channels, (7, 6))
    images, kernel, output, gradient, of_images, of_kernel = (each.float() for each in found)
    images, gradient = images.to(memory_format=layout), gradient.to(memory_format=layout)
    settings = (stride, dilation * (side // 2), dilation)
    made = kernels.forward(images, kernel, *settings, torch.empty_like(output))
    assert torch.allclose(made, output, atol=1e-4)
    made = kernels.image_gradient(gradient, kernel, *settings, torch.empty_like(images))
    assert torch.allclose(made, of_images, atol=1e-4)
    made = kernels.kernel_gradient(images, gradient, side, *settings)
    assert torch.allclose(made, of_kernel, atol=1e-4)


def test_the_kernels_gradient_is_summed_over_shares(monkeypatch):
    monkeypatch.setattr(kernels, "_BLOCK", 32)
    images, _, _, gradient, _, of_kernel = (each.float() for each in expected(3, 1, 1, 3, (7, 6)))
    made = kernels.kernel_gradient(images, gradient, 3, 1, 1, 1)
    assert torch.allclose(made, of_kernel, atol=1e-4)
