"""The int8 arithmetic against exact fractions and against torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from export.c import arithmetic, interpret, quantise
from export.c.arithmetic import Program, Rescale, Scale, Step
from export.errors import ExportError
from export.lowering import lower
from tests.export.conftest import Case, subject_of


@given(st.floats(1e-9, 1000), st.integers(-(2**31) + 1, 2**31 - 1))
def test_a_factor_is_a_multiplication_and_a_shift_that_rounds_half_up(factor: float, total: int) -> None:
    by = Rescale.of(factor)
    assert 0 <= by.multiplier < 2**31
    assert 1 <= by.shift <= 62
    exact = Fraction(total) * Fraction(by.multiplier, 2**by.shift)
    assert int(interpret.rescaled(np.array(total), by)) == math.floor(exact + Fraction(1, 2))
    assert abs(exact - Fraction(total) * Fraction(factor)) <= abs(total) * factor * 2**-30


def test_the_worked_case_of_the_docstring() -> None:
    by = Rescale.of(0.1)
    assert (by.multiplier, by.shift) == (1717986918, 34)
    assert int(interpret.rescaled(np.array(26), by)) == 3


@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0**30, math.nan])
def test_a_factor_that_has_no_such_form_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="must hold"):
        Rescale.of(factor)


@pytest.mark.parametrize(
    ("groups", "stride", "dilation", "padding", "transposed"),
    [
        (1, 1, 1, 1, False),
        (2, 2, 1, 0, False),
        (6, 2, 2, 2, False),
        (3, 1, 3, 4, False),
        (1, 2, 1, 1, True),
        (2, 1, 2, 2, True),
        (6, 2, 1, 1, True),
    ],
)
def test_a_convolution_of_integers_is_exactly_that_of_torch(
    groups: int, stride: int, dilation: int, padding: int, transposed: bool
) -> None:
    """Without scaling, against torch in float64, which is exact here."""
    random = np.random.default_rng(0)
    x = random.integers(-128, 128, (2, 9, 7, 6)).astype(np.int8)
    weight = random.integers(-3, 4, (6, 3, 3, 6 // groups)).astype(np.int8)
    bias = random.integers(-50, 50, 6).astype(np.int32)
    zero = 5
    images = torch.from_numpy(x).permute(0, 3, 1, 2).double() - zero
    kernels = torch.from_numpy(weight).permute(0, 3, 1, 2).double()
    if transposed:
        swapped = kernels.reshape(groups, 6 // groups, 6 // groups, 3, 3).transpose(1, 2).reshape(6, -1, 3, 3)
        expected = F.conv_transpose2d(
            images, swapped, torch.from_numpy(bias).double(), stride, padding, 0, groups, dilation
        )
    else:
        expected = F.conv2d(
            images, kernels, torch.from_numpy(bias).double(), stride, padding, dilation, groups
        )
    op = arithmetic.Convolution(
        *(weight, bias, (Rescale(2**30, 30),) * 6, (stride, stride), (padding, padding)),
        *((dilation, dilation), groups, transposed, -32_767, 32_767),
    )
    shape = tuple(expected.permute(0, 2, 3, 1).shape[1:])
    step = Step("conv", op, (0,), shape, Scale(1.0, 0))  # type: ignore[arg-type]
    found = interpret._compute(step, [x], [zero])
    assert (found == expected.permute(0, 2, 3, 1).numpy()).all()
    assert op.depthwise == (groups == 6 and not transposed)


def test_a_product_and_a_mean_are_rounded_at_their_scales() -> None:
    a, b = np.array([[[[10, -20]]]], np.int8), np.array([[[[7, 3]]]], np.int8)
    step = Step("mul", arithmetic.Multiply(Rescale.of(0.5)), (0, 1), (1, 1, 2), Scale(1.0, 1))
    assert interpret._compute(step, [a, b], [2, 1]).tolist() == [[[[25, -21]]]]  # 8 * 6 / 2, -22 * 2 / 2
    mean = Step("mean", arithmetic.Mean(Rescale.of(0.25)), (0,), (1, 1, 1), Scale(1.0, 0))
    x = np.array([1, 2, 3, 5], np.int8).reshape(1, 2, 2, 1)
    assert interpret._compute(mean, [x], [0]).tolist() == [[[[3]]]]  # 11 / 4 = 2.75


def test_a_sum_stays_within_32_bits_for_any_scales() -> None:
    for first, second, scale in ((1e-4, 3.0, 0.02), (1.0, 1.0, 1.0), (50.0, 1e-5, 1e-2)):
        op = quantise._add(Scale(first, 0), Scale(second, 0), Scale(scale, 0), -128, 127)
        assert 255 * (op.first + op.second) + 2 ** (op.shift - 1) < 2**31


@pytest.mark.parametrize("name", ["mixed", "residual-mcu"])
def test_int8_is_near_float32(name: str, case: Callable[[str], Case]) -> None:
    found = case(name)
    logits = interpret.run(found.program, found.images) * found.program.score_scale
    noise = np.square(logits - found.logits).sum() / np.square(found.logits).sum()
    assert 10 * np.log10(1 / noise) > 20


def test_the_pixels_of_the_program_are_the_normalisation(case: Callable[[str], Case]) -> None:
    program: Program = case("residual-mcu").program
    scale = program.input_scale
    real = (program.pixels.astype(float) - scale.zero) * scale.scale
    expected = (np.arange(256) - 115.0) / 61.0
    inside = np.abs(real[1] - expected) <= scale.scale / 2 + 1e-9
    assert inside.mean() > 0.95  # the rest is cut at the ends


def test_a_layer_that_is_always_zero_is_stored_as_zero(case: Callable[[str], Case]) -> None:
    network = torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 1)),
        *(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()),
    )
    torch.nn.init.constant_(network[0].bias, -100.0)
    subject = subject_of(network.eval(), (3, 13, 18), 4)
    images = case("mixed").images
    program = quantise.quantise("n", subject.classes, lower(subject), images, subject.mean, subject.std)
    logits = interpret.run(program, images) * program.score_scale
    np.testing.assert_allclose(logits, np.tile(network[2].bias.detach().numpy(), (20, 1)), atol=0.01)


def test_weights_that_make_nan_are_refused(case: Callable[[str], Case]) -> None:
    found = case("mixed")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    torch.nn.init.constant_(network[0].weight, math.inf)
    subject = subject_of(network.eval(), (3, 13, 18), 4)
    with pytest.raises(ExportError, match="NaN or infinity"):
        quantise.quantise("n", subject.classes, lower(subject), found.images, subject.mean, subject.std)
