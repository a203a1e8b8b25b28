import base64
from math import sqrt

import numpy
import pytest
import torch
from torch import nn

import rfcalc
from reports import effective


def small() -> rfcalc.Analysis:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3, padding=1))
    return rfcalc.analyze(network, input_size=(3, 12, 16))


def one(found: effective.Effective, row: rfcalc.Row) -> effective.Map:
    """The map of the row's only phase."""
    (influence,) = found.maps[row.index].values()
    return influence


def test_many_rows_at_once_are_measured_as_one_by_one() -> None:
    from rfcalc.questions.erf import measured

    analysis = small()
    found = effective.spread(analysis, analysis.rows, images=3)
    assert found.images == 3
    for row in analysis.rows:
        expected = measured(analysis, row, images=3).numpy()
        numpy.testing.assert_allclose(one(found, row), expected, rtol=1e-6, atol=1e-12)


def test_a_map_is_the_gradient_of_the_layer_itself_where_a_later_op_works_in_place() -> None:
    analysis = small()
    first = analysis.rows[0]
    # Of a convolution the gradient is its kernel, whatever ReLU does to the result afterwards.
    kernel = next(p for p in analysis.graph.values if p.constant is not None and p.shape == (4, 3, 3, 3))
    taps = kernel.constant.detach().sum(0).abs().sum(0).double()
    centre = [length // 2 for length in first.field.positions]
    found = one(effective.spread(analysis, [first], images=1), first)
    expected = numpy.zeros((12, 16))
    top, left = (2 * each - 1 for each in centre)
    expected[top : top + 3, left : left + 3] = (taps / taps.sum()).numpy()
    numpy.testing.assert_allclose(found, expected, atol=1e-6)


def test_nothing_is_measured_where_that_was_not_wanted_or_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    analysis = small()
    assert effective.spread(analysis, analysis.rows, images=0).maps == {}
    monkeypatch.setattr(effective, "WORK", 1)
    found = effective.spread(analysis, analysis.rows)
    assert found.images == 0
    assert "--erf-images 1" in (found.why or "")
    assert all(sigma is not None for row in found.sigmas for sigma in row)


class Clock:
    """Stands still but for a second at each look."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.mark.parametrize(
    ("seconds", "images", "left_out"),
    # Two rows, a second each: the first image is broken off after 2 seconds, the second one after 4.
    [(1, 0, 0), (2, 1, 1), (3, 1, 0), (4, 1, 0), (5, 2, 0), (1000, effective.MOST_IMAGES, 0)],
)
def test_measuring_ends_when_the_time_is_up_and_says_what_it_left_out(
    monkeypatch: pytest.MonkeyPatch, seconds: int, images: int, left_out: int
) -> None:
    from rfcalc.questions.erf import measured_rows

    monkeypatch.setattr(effective, "time", Clock())
    analysis = small()
    rows = [row for row in analysis.rows if row.macs]
    notes: list[str] = []
    found = effective.spread(analysis, rows, seconds=seconds, note=notes.append)
    assert (found.images, found.left_out) == (images, left_out)
    assert len(found.maps) == (2 - left_out if images else 0)
    assert (found.why is None) == bool(images)
    assert notes[0].startswith("effective fields: image 1 of 16, unit 1 of 2;")
    # What was measured is what so many whole images give.
    if images:
        for row, each in zip(rows, measured_rows(analysis, rows, images=images), strict=True):
            if row.index in found.maps:
                assert each is not None
                numpy.testing.assert_allclose(one(found, row), each.numpy(), rtol=1e-6, atol=1e-12)


def test_the_time_is_not_limited_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(effective, "time", Clock())
    analysis = small()
    assert effective.spread(analysis, analysis.rows, images=3).images == 3
    assert effective.spread(analysis, analysis.rows).images == effective.MOST_IMAGES


def test_each_phase_is_measured_on_its_own() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 2, 4, 2, 1))
    analysis = rfcalc.analyze(network, input_size=(3, 16, 20))
    row = analysis.rows[-1]
    assert effective.units_by_phase(row) == [(8, 10), (8, 11), (9, 10), (9, 11)]
    found = effective.spread(analysis, [row], images=2)
    for (y, x), influence in found.maps[row.index].items():
        # The gradient oracle: exactly what the unit depends on.
        rows, columns = row.field.inputs_seen(y, x)
        assert set(numpy.flatnonzero(influence.any(1))) == rows
        assert set(numpy.flatnonzero(influence.any(0))) == columns


def test_a_network_that_cannot_be_run_says_why_nothing_was_measured() -> None:
    with torch.device("meta"):
        network = nn.Conv2d(3, 4, 3)
    analysis = rfcalc.analyze(network, input_size=(3, 8, 8))
    found = effective.spread(analysis, analysis.rows, images=1)
    assert found.maps == {}
    assert "meta tensors" in (found.why or "")


def test_a_packed_map_holds_the_root_of_the_influence_within_its_box() -> None:
    influence = numpy.zeros((8, 10))
    influence[2:5, 3:7] = numpy.arange(12).reshape(3, 4)
    seen = influence > 0
    seen[2, 3] = True
    packed = effective.packed(influence, seen, maps=1)
    assert packed is not None
    assert (packed["box"], packed["cell"]) == ([2, 3, 3, 4], 1)
    cells = list(base64.b64decode(packed["data"]))
    assert cells == [round(255 * sqrt(value / 11)) for value in range(12)]


def test_with_many_maps_the_cells_grow_and_hold_means() -> None:
    influence = numpy.add.outer(numpy.arange(96.0), numpy.zeros(96))
    packed = effective.packed(influence, numpy.ones((96, 96), dtype=bool), maps=500)
    assert packed is not None
    side = -(-96 // packed["cell"])
    assert 500 * len(packed["data"]) < effective.PAGE_BYTES
    cells = numpy.frombuffer(base64.b64decode(packed["data"]), dtype=numpy.uint8).reshape(side, side)
    means = influence.reshape(side, packed["cell"], side, packed["cell"]).mean((1, 3))
    numpy.testing.assert_allclose(cells, 255 * numpy.sqrt(means / means.max()), atol=0.5)


def test_a_unit_that_sees_nothing_has_no_map() -> None:
    assert effective.packed(numpy.zeros((4, 4)), numpy.zeros((4, 4), dtype=bool), maps=1) is None


def test_sigma_is_that_of_the_marginals() -> None:
    influence = numpy.outer([1, 2, 1], [1, 0, 0, 1]) / 8
    assert effective.sigma_of(influence) == pytest.approx((sqrt(0.5), 1.5))
