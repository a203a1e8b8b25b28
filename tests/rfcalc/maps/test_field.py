import pytest
import torch
from torch import nn

from rfcalc.analysis.analyze import analyze
from rfcalc.maps.field import FLAGS


@pytest.fixture(scope="module")
def cross():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.row = nn.Conv2d(1, 1, (1, 5), padding=(0, 2))
            self.column = nn.Conv2d(1, 1, (3, 1), padding=(1, 0))

        def forward(self, x):
            return self.row(x) + self.column(x)

    return analyze(Cross(), (1, 6, 9)).output


def test_mask_and_inputs_seen_agree_on_rows_and_columns(cross):
    mask = cross.mask(2, 4)
    assert mask.dtype == torch.bool
    assert mask.shape == (6, 9)
    rows, columns = cross.inputs_seen(2, 4)
    assert set(mask.any(1).nonzero().flatten().tolist()) == rows == {1, 2, 3}
    assert set(mask.any(0).nonzero().flatten().tolist()) == columns == {2, 3, 4, 5, 6}
    assert mask.sum() == 7


def test_units_at_the_border_see_less(cross):
    assert cross.inputs_seen(0, 0) == ({0, 1}, {0, 1, 2})
    assert cross.mask(0, 0).sum() == 4


def test_negative_indices_count_from_the_end(cross):
    assert cross.inputs_seen(-1, -1) == cross.inputs_seen(5, 8)


def test_a_wrong_index_is_refused_with_the_grid(cross):
    with pytest.raises(IndexError, match=r"2 indices \(grid \(6, 9\)\), got \(1,\)"):
        cross.inputs_seen(1)
    with pytest.raises(IndexError, match=r"unit \(6, 0\) lies outside of the grid \(6, 9\)"):
        cross.mask(6, 0)


def test_centre_is_the_middle_of_what_output_0_sees():
    field = analyze(nn.Conv2d(1, 1, (2, 5), stride=(2, 1)), (1, 8, 8)).output
    assert field.start == (0, 0)
    assert field.centre == (0.5, 2)


def test_fields_of_equal_numbers_are_equal():
    one, two = (analyze(nn.Conv2d(1, 1, 3), (1, n, n)).output for n in (8, 12))
    assert one == two
    assert one.positions != two.positions


def test_a_field_only_carries_known_flags():
    nets = [nn.Conv2d(1, 1, 3, dilation=2), nn.ConvTranspose2d(1, 1, 2, 3), nn.Upsample(size=(5, 5))]
    for net in nets:
        flags = analyze(net, (1, 8, 8)).output.flags
        assert flags
        assert flags <= set(FLAGS)


def test_a_one_dimensional_network_has_fields_of_one_axis():
    field = analyze(nn.Conv1d(2, 3, 3, padding=4, dilation=4), (2, 20)).output
    assert field.size == (9,)
    assert field.pixels == (3,)
    assert field.inputs_seen(5) == ({1, 5, 9},)
    assert field.mask(5).sum() == 3


def test_a_three_dimensional_network_has_fields_of_three_axes():
    field = analyze(nn.Conv3d(1, 1, (1, 3, 5), stride=(1, 2, 1)), (1, 4, 8, 9)).output
    assert field.size == (1, 3, 5)
    assert field.jump == (1, 2, 1)
    assert field.mask(0, 1, 2).sum() == 15


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.AdaptiveAvgPool2d(1), (1, 1)),
        (nn.AdaptiveAvgPool2d((1, None)), (1, 8)),
        (nn.Conv2d(3, 4, 8), (1, 1)),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Upsample(scale_factor=4)), (4, 4)),
    ],
    ids=["pooled", "pooled rows", "conv", "spread again"],
)
def test_every_unit_of_a_map_has_an_index(model, shape):
    """A global pooling leaves a map of 1x1 whose unit is (0, 0); the gradient says what it sees."""
    field = analyze(model, (3, 8, 8)).output
    for y, x in ((0, 0), (shape[0] - 1, shape[1] - 1)):
        image = torch.randn(1, 3, 8, 8, requires_grad=True)
        model(image)[0, :, y, x].sum().backward()
        seen = image.grad[0].abs().sum(0) > 0
        assert torch.equal(field.mask(y, x), seen)
        assert field.inputs_seen(y, x)[1] == set(seen.any(0).nonzero().flatten().tolist())
    with pytest.raises(IndexError, match="lies outside of the grid"):
        field.inputs_seen(*shape)


def test_the_span_of_every_unit_is_what_it_sees_but_for_the_border():
    """In examples/decoder.py starts and extents take turns; the clipped sets are the oracle of the spans."""
    from pathlib import Path

    from rfcalc import load_model

    example = Path(__file__).resolve().parents[3] / "examples" / "decoder.py"
    analysis = analyze(load_model(str(example)), (3, 32, 40))
    phases = set()
    for row in analysis.rows:
        for axis, length in enumerate(row.field.positions):
            spans = row.field.spans[axis]
            phases.add(len(spans.phases))
            for unit in range(length):
                index = [0, 0]
                index[axis] = unit
                seen = row.field.inputs_seen(*index)[axis]
                first, extent = spans.at(unit)
                border = (32, 40)[axis]
                assert (min(seen), max(seen)) == (max(0, first), min(border, first + extent) - 1)
    assert phases == {1, 2, 4}
    (up1,) = (row for row in analysis.rows if row.name == "up1")
    assert up1.field.spans[0].at(9) == (12, 13)


def test_there_is_no_span_where_there_is_no_start():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    output = analyze(model, (3, 8, 8)).output
    assert [span is None for span in output.spans] == [start is None for start in output.start]
