"""Worked cases: every set was computed by hand, and is compared with float64 gradients."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
from torch import nn

from rfcalc.analysis.analyze import analyze
from tests.rfcalc.analysis.worked import (
    HALF,
    THIRD,
    UP,
    Fn,
    agrees_with_gradients,
    chain,
    conv,
    run,
    transposed,
)


@dataclass(frozen=True)
class Case:
    """What output unit (o, o) of `net` sees of an n x n input, along either axis."""

    name: str
    net: nn.Module
    n: int
    o: int
    seen: set[int]
    size: int
    size_min: int
    jump: Fraction | int | None
    pixels: int | None = None


CASES = [
    Case("01 conv k3", conv(3), 16, 5, {4, 5, 6}, 3, 3, 1),
    Case("02 conv k3 s2, once", conv(3, 2), 64, 3, run(5, 7), 3, 3, 2),
    Case("02 conv k3 s2, twice", chain(conv(3, 2), conv(3, 2)), 64, 3, run(9, 15), 7, 7, 4),
    Case(
        "02 conv k3 s2, three times", chain(conv(3, 2), conv(3, 2), conv(3, 2)), 64, 3, run(17, 31), 15, 15, 8
    ),
    Case("03 conv k3 d2", conv(3, dilation=2), 16, 5, {3, 5, 7}, 5, 5, 1, 3),
    Case("04 down and up, even", chain(conv(3, 2), transposed(3, 2, 1, 1)), 16, 6, {5, 6, 7}, 5, 3, 1),
    Case("04b down and up, odd", chain(conv(3, 2), transposed(3, 2, 1, 1)), 16, 7, run(5, 9), 5, 3, 1),
    Case("05 transposed k2 d2", transposed(2, dilation=2), 12, 5, {3, 5}, 3, 3, 1, 2),
    Case("06 nearest, conv k3", chain(nn.Upsample(**UP), conv(3)), 12, 8, {3, 4}, 2, 2, HALF),
    Case("06b nearest, conv k2, even", chain(nn.Upsample(**UP), conv(2, padding=0)), 12, 8, {4}, 2, 1, HALF),
    Case(
        "06c nearest, conv k2, odd", chain(nn.Upsample(**UP), conv(2, padding=0)), 12, 9, {4, 5}, 2, 1, HALF
    ),
    Case("07 bilinear x2", nn.Upsample(**UP, mode="bilinear"), 12, 8, {3, 4}, 2, 2, HALF),
    Case(
        "07b bilinear x2, conv k3",
        chain(nn.Upsample(**UP, mode="bilinear"), conv(3)),
        12,
        8,
        {3, 4, 5},
        3,
        3,
        HALF,
    ),
    Case("07f bilinear x1/4", nn.Upsample(scale_factor=0.25, mode="bilinear"), 32, 3, {13, 14}, 2, 2, 4),
    Case("07g bicubic x2", nn.Upsample(**UP, mode="bicubic"), 12, 8, {2, 3, 4, 5}, 4, 4, HALF),
    Case(
        "08 concat of k3 and k5",
        Fn(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=conv(3), b=conv(5)),
        16,
        7,
        run(5, 9),
        5,
        5,
        1,
    ),
    Case("09 residual", Fn(lambda m, x: x + m.b(m.a(x)), a=conv(3), b=conv(3)), 16, 7, run(5, 9), 5, 5, 1),
    Case("10 max pool", nn.MaxPool2d(2), 16, 3, {6, 7}, 2, 2, 2),
    Case("10b max pool, conv k3", chain(nn.MaxPool2d(2), conv(3)), 16, 3, run(4, 9), 6, 6, 2),
    Case(
        "12 three conv k3 d2",
        chain(*(conv(3, dilation=2) for _ in range(3))),
        32,
        15,
        run(9, 21, 2),
        13,
        13,
        1,
        7,
    ),
    Case(
        "12b dilation 1, 2, 5",
        chain(*(conv(3, dilation=d) for d in (1, 2, 5))),
        32,
        15,
        run(7, 23),
        17,
        17,
        1,
    ),
    Case("13 conv k1 s2, conv k3", chain(conv(1, 2), conv(3)), 16, 3, {4, 6, 8}, 5, 5, 2, 3),
    Case("17 transposed k4 s2", transposed(4, 2, 1), 12, 9, {4, 5}, 2, 2, HALF),
    Case("18 transposed k3 s2, even", transposed(3, 2, 1, 1), 12, 10, {5}, 2, 1, HALF),
    Case("18b transposed k3 s2, odd", transposed(3, 2, 1, 1), 12, 11, {5, 6}, 2, 1, HALF),
    Case("18c transposed k3 s2, last row", transposed(3, 2, 1, 1), 12, 23, {11}, 2, 1, HALF),
    Case("19 transposed k2 s3, dead", transposed(2, 3), 8, 11, set(), 1, 0, THIRD),
    Case("19b transposed k3 s2 d2, odd", transposed(3, 2, dilation=2), 8, 7, set(), 3, 0, HALF),
    Case("19c transposed k3 s2 d2, even", transposed(3, 2, dilation=2), 8, 8, {2, 3, 4}, 3, 0, HALF),
    Case("22 four conv k3, at the border", chain(*(conv(3) for _ in range(4))), 16, 0, run(0, 4), 9, 9, 1),
    Case(
        "26 depthwise and pointwise",
        chain(conv(1, channels=(1, 4)), conv(3, channels=(4, 4), groups=4), conv(1, channels=(4, 2))),
        16,
        7,
        {6, 7, 8},
        3,
        3,
        1,
    ),
    Case(
        "27 x[::2], conv k3", Fn(lambda m, x: m.a(x[:, :, ::2, ::2]), a=conv(3)), 16, 3, {4, 6, 8}, 5, 5, 2, 3
    ),
    Case("31 batch norm in eval mode", nn.BatchNorm2d(1), 16, 5, {5}, 1, 1, 1),
    Case(
        "32 three valid conv k3", chain(*(conv(3, padding=0) for _ in range(3))), 16, 4, run(4, 10), 7, 7, 1
    ),
    Case(
        "crop is clipped before the next layer",
        Fn(lambda m, x: m.a(x[:, :, 2:, 2:]), a=conv(3)),
        16,
        0,
        {2, 3},
        3,
        3,
        1,
    ),
    Case(
        "two k5 a pixel apart make 6",
        Fn(lambda m, x: m.a(x)[:, :, :-1, :-1] + m.b(x)[:, :, 1:, 1:], a=conv(5), b=conv(5)),
        16,
        7,
        run(5, 10),
        6,
        6,
        1,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_worked_case_comes_out_as_by_hand(case):
    analysis = analyze(case.net, (1, case.n, case.n))
    field = analysis.output
    assert field.inputs_seen(case.o, case.o) == (case.seen, case.seen)
    assert field.size == (case.size, case.size)
    assert field.size_min == (case.size_min, case.size_min)
    assert field.jump == (case.jump, case.jump)
    assert field.pixels == ((case.pixels or case.size),) * 2
    assert ("holes" in field.flags) == (case.pixels is not None)
    assert ("dead outputs" in field.flags) == (case.size_min == 0)
    assert not field.is_global
    agrees_with_gradients(analysis)
