"""Fields of networks that move places about: tokens, windows, stacked branches, gates, sampling.

Every expected size and jump was worked out by hand; `verify` compares the last map with the gradient oracle.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rfcalc.analysis.analyze import analyze
from rfcalc.questions.oracle import verify
from tests.rfcalc.analysis.token_networks import (
    BranchAttention,
    BranchesAsChannels,
    ClassToken,
    ClassTokenLast,
    ConvolutionsBetweenTokens,
    CrossScan,
    DecoderOfOddSize,
    FoldedBack,
    Halo,
    HalvesSwappedTwice,
    OddGate,
    Outlook,
    Parts,
    Quarters,
    Registers,
    RelativeEverywhere,
    RelativeWindows,
    RowsOneByOne,
    SelectiveKernel,
    Sorted,
    SpatialTransformer,
    StackedChoice,
    StackedExtrema,
    StackedSum,
    TensorUnfoldAttention,
    TokenInTheMiddle,
    TokensFirst,
    TokensOneByOne,
    TwoPooledGates,
    TwoScales,
    UnfoldAttention,
    Warped,
    WindowsWithClassToken,
)

# class, input size, field size, jump, whether a global operation is on the way
NETWORKS = [
    (ClassToken, 64, 12, 8, False),
    (ClassTokenLast, 32, 12, 8, True),
    (Registers, 32, 12, 8, True),
    (ConvolutionsBetweenTokens, 32, 28, 8, True),
    (TwoScales, 32, 28, 8, False),
    (TokensFirst, 32, 12, 8, False),
    (TokenInTheMiddle, 32, 12, 8, False),
    (TokensOneByOne, 32, 12, 8, False),
    (RowsOneByOne, 12, 5, 2, False),
    (Quarters, 12, 5, 2, False),
    (HalvesSwappedTwice, 12, 5, 2, False),
    (BranchesAsChannels, 16, 7, 1, False),
    (TwoPooledGates, 24, 16, 1, False),
    (Sorted, 16, 12, 8, False),
    (CrossScan, 12, 5, 1, False),
    (StackedSum, 16, 7, 1, False),
    (SelectiveKernel, 16, 7, 1, True),
    (StackedExtrema, 16, 7, 1, False),
    (StackedChoice, 16, 5, 1, False),
    (BranchAttention, 16, 7, 1, False),
    (OddGate, 17, 10, 2, False),
    (DecoderOfOddSize, 33, 31, 2, False),
    (UnfoldAttention, 16, 5, 1, False),
    (TensorUnfoldAttention, 16, 5, 1, False),
    (SpatialTransformer, 12, 3, 2, True),
    (Warped, 12, 5, 1, True),
    (WindowsWithClassToken, 8, 10, 1, False),
    (RelativeWindows, 8, 10, 2, False),
    (RelativeEverywhere, 8, 3, 1, True),
    (Halo, 12, 8, 1, False),
    (FoldedBack, 15, 3, 1, False),
    (Outlook, 12, 7, 1, False),
]


@pytest.mark.parametrize(
    ("network", "pixels", "size", "jump", "is_global"),
    NETWORKS,
    ids=[entry[0].__name__ for entry in NETWORKS],
)
def test_the_last_map_has_its_size_and_jump_and_the_oracle_agrees(network, pixels, size, jump, is_global):
    analysis = analyze(network().eval(), (3, pixels, pixels))
    field = analysis.field
    assert field.size == (size, size)
    assert field.jump == (jump, jump)
    assert field.is_global is is_global
    assert analysis.field_rivals == ()
    assert "bounding box" not in field.flags
    result = verify(None, analysis, units=3, rows=[analysis.rows[analysis.field_row].name])
    assert result.ok, (result.mismatches[:3], result.misplaced[:3])


def test_tokens_that_never_become_a_map_again_are_judged_in_rows_and_columns():
    class Pooled(Parts):
        def forward(self, x):
            return self.attention(torch.cat([self.cls, self.tokens(x)], 1))[:, 0]

    field = analyze(Pooled(), (3, 32, 24)).field
    assert field.size == (4, 4)
    assert field.jump == (4, 4)
    assert field.positions == (8, 6)


def test_two_branches_that_are_pooled_apart_are_both_named():
    class Apart(Parts):
        def forward(self, x):
            return torch.cat([self.down(self.patch(x)).mean((2, 3)), self.stem2(x).mean((2, 3))], 1)

    analysis = analyze(Apart(), (3, 32, 32))
    assert analysis.rows[analysis.field_row].name == "down"
    assert [analysis.rows[i].name for i in analysis.field_rivals] == ["stem2"]


def test_one_branch_beside_its_pooled_context_is_no_rival():
    class Context(Parts):
        def forward(self, x):
            x = self.stem(x)
            return self.c3(x * self.c5(x).mean((2, 3), keepdim=True))

    analysis = analyze(Context(), (3, 16, 16))
    assert analysis.rows[analysis.field_row].name == "c3"
    assert analysis.field_rivals == ()


def test_a_reversed_map_starts_where_its_size_says_and_one_that_is_reversed_back_does_not():
    class Reversed(Parts):
        def __init__(self, times):
            super().__init__()
            self.times = times

        def forward(self, x):
            x = self.stem(x)
            for _ in range(self.times):
                x = x.flip(3)
            return x * 1.0

    once, twice = (analyze(Reversed(times), (3, 8, 8)).output for times in (1, 2))
    assert once.jump == (1, -1)
    assert "size-dependent" in once.flags
    assert twice.jump == (1, 1)
    assert not twice.flags


@pytest.mark.parametrize("parts", [2, 4])
def test_pieces_in_another_order_are_no_wider_than_a_piece(parts):
    class Shuffled(Parts):
        def forward(self, x):
            return torch.cat(self.stem(x).chunk(parts, 2)[::-1], 2)

    output = analyze(Shuffled(), (3, 16, 16)).output
    assert (output.size, output.pixels) == ((3, 3), (3, 3))
    assert output.jump == (None, 1)
    assert output.flags == {"size-dependent"}


def test_pieces_of_two_maps_are_as_wide_as_the_wider_one():
    class Mosaic(Parts):
        def forward(self, x):
            x = self.stem(x)
            return torch.cat([self.c3(x)[:, :, :6], self.c5(x)[:, :, :6]], 2)

    analysis = analyze(Mosaic(), (3, 12, 12))
    output = analysis.output
    assert output.size == (7, 7)
    assert output.size_min[0] == 5
    assert "size-dependent" in output.flags
    assert verify(None, analysis, units=0, rows=["concat"]).ok


def test_operands_that_drift_apart_on_a_map_of_one_column_have_an_extent():
    class Gated(nn.Module):
        def forward(self, x):
            for _ in range(2):
                x = x * F.interpolate(F.max_pool2d(x, 3), x.shape[2:], mode="bilinear").sigmoid()
            return F.max_pool2d(x, 3)

    analysis = analyze(Gated(), (3, 11, 5))
    assert analysis.output.positions == (3, 1)
    assert verify(None, analysis, rows=[analysis.rows[-1].name]).ok


def test_a_map_added_to_its_transpose_is_as_wide_as_what_its_units_see():
    class Crossed(nn.Module):
        def forward(self, x):
            x = F.max_pool2d(x, (2, 3), 1)[:, :, :6, :6]
            return x[:, :, :, 3:].transpose(2, 3)[:, :, :, :3] + x[:, :, :3, :3]

    analysis = analyze(Crossed(), (3, 9, 9))
    result = verify(None, analysis, units=0, rows=[analysis.rows[-1].name])
    assert result.ok, result.misplaced[:3]
