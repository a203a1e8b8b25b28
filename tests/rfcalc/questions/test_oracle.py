import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rfcalc.analysis.analyze import analyze
from rfcalc.maps.indexmap import IndexMap
from rfcalc.maps.plane import Periodic
from rfcalc.maps.readout import field_of
from rfcalc.maps.state import Part, Path
from rfcalc.questions.oracle import Oracle, verify
from rfcalc.render.report import Report, facts
from rfcalc.trace.trace import trace


@pytest.fixture(scope="module")
def network():
    return analyze(nn.Sequential(nn.Conv2d(2, 3, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)), (2, 16, 16))


def test_a_right_field_agrees_on_every_unit(network):
    result = verify(None, network, units=0)
    assert result.checked == result.agreed == 64 + 64 + 16
    assert result.mismatches == ()


def test_a_wrong_field_is_found_with_the_pixels_that_differ(network):
    other = analyze(nn.Sequential(nn.Conv2d(2, 3, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)), (2, 16, 16))
    wrong = dataclasses.replace(
        network, rows=(dataclasses.replace(network.rows[0], field=other.rows[0].field),)
    )
    result = verify(None, wrong, units=2)
    assert result.checked == 2
    assert result.agreed == 0
    corner, centre = result.mismatches
    assert (corner.row, corner.index, corner.missing, corner.extra) == ("0", (0, 0), 0, 9 - 4)
    assert (centre.missing, centre.extra) == (0, 25 - 9)


def test_the_oracle_agrees_with_plain_autograd_on_a_linear_network():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 1, 3, 2, 1)).double()
    for p in model.parameters():
        nn.init.constant_(p, 0.5)
    graph = trace(model, (1, 9, 9))
    oracle = Oracle(graph)
    value = next(iter(graph.outputs.values()))
    for index in ((0, 0), (4, 5), (8, 8)):
        x = torch.ones(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
        model(x)[0, 0][index].backward()
        chosen = torch.zeros(graph.values[value].shape, dtype=torch.bool)
        chosen[0, :, index[0], index[1]] = True
        assert torch.equal(oracle.pixels(value, chosen), x.grad[0, 0] != 0)


def test_dead_units_and_zero_weights_do_not_hide_a_path():
    model = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 3, padding=1)
    )
    for p in model.parameters():
        nn.init.constant_(p, -1.0)
    nn.init.zeros_(model[2].weight)
    result = verify(None, analyze(model, (1, 8, 8)), units=4)
    assert result.agreed == result.checked > 0


def test_deep_averaging_neither_underflows_nor_loses_its_rim():
    model = nn.Sequential(*(nn.AvgPool2d(3, 1, 1) for _ in range(60)))
    result = verify(None, analyze(model, (1, 150, 3)), units=2, rows=["59"])
    assert result.agreed == result.checked == 2


def test_rows_that_gradients_cannot_reach_are_named_with_the_reason():
    class Rounded(nn.Module):
        def forward(self, x):
            return F.one_hot(x.argmax(1), 3).float() * 1.0

    result = verify(None, analyze(Rounded(), (3, 4, 4)))
    assert ("argmax", "its output is not a real number") in result.skipped
    assert all("not a real number" in reason for _, reason in result.skipped)


def test_the_chosen_units_start_with_corner_centre_and_corner():
    analysis = analyze(nn.Conv2d(1, 1, 3), (1, 12, 12))
    assert verify(None, analysis, units=3).checked == 3
    assert verify(None, analysis, units=0).checked == 100


def test_when_the_time_is_up_the_last_row_has_been_checked_and_the_rest_is_counted():
    analysis = analyze(nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(4))), (1, 16, 16))
    result = verify(None, analysis, seconds=0)
    assert (result.checked, result.agreed, result.left_out) == (3, 3, 3)
    assert verify(None, analysis, seconds=600).checked == 12


@pytest.mark.parametrize("both_ways", [False, True])
def test_a_fused_recurrent_layer_is_checked_step_by_step(both_ways):
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.LSTM(3, 4, batch_first=True, bidirectional=both_ways)

        def forward(self, x):
            return self.layer(x.transpose(1, 2))[0].transpose(1, 2)

    analysis = analyze(Steps(), (3, 9))
    result = verify(None, analysis, units=0, rows=["layer.recurrent"])
    assert result.ok
    assert result.checked == 9


def test_nothing_checked_is_no_agreement():
    class Rounds(nn.Module):
        def forward(self, x):
            return x.argmax(-1)

    analysis = analyze(Rounds(), (3, 9))
    result = verify(None, analysis)
    assert (result.checked, result.ok) == (0, False)
    report = Report("t", "Rounds", False, analysis, verification=result)
    assert not report.ok
    assert dict(facts(report))["verified"].startswith("no unit could be checked: argmax")


def test_wrong_numbers_of_the_unbounded_plane_are_found_though_clipped_sets_agree(network):
    last = network.rows[-1]
    state = last.field.reach.state

    def shifted(part):
        plane = part.map.plane
        moved = Periodic(plane.shift, tuple((low + 1, bits) for low, bits in plane.phases))
        return Part(part.atoms, IndexMap(part.map.seen, part.map.shape, moved))

    paths = tuple(Path(tuple(shifted(part) for part in path.parts)) for path in state.paths)
    field = field_of(dataclasses.replace(state, paths=paths), (16, 16))
    assert field.start != last.field.start
    wrong = dataclasses.replace(network, rows=(*network.rows[:-1], dataclasses.replace(last, field=field)))
    result = verify(None, wrong, rows=[last.name])
    assert result.agreed == result.checked == 3
    assert {moved.axis for moved in result.misplaced} == {0, 1}
    assert not result.ok


def test_a_field_that_is_said_to_be_smaller_than_what_a_unit_sees_is_found(network):
    last = network.rows[-1]
    small = dataclasses.replace(last.field, size=(3, 3), jump=(None, None))
    wrong = dataclasses.replace(network, rows=(*network.rows[:-1], dataclasses.replace(last, field=small)))
    result = verify(None, wrong, rows=[last.name])
    assert result.misplaced[0].claimed == (0, 2)
    assert not result.ok


def test_size_jump_and_start_are_confirmed_on_a_larger_image_where_this_one_is_too_small():
    model = nn.Sequential(*(nn.Conv2d(1, 1, 3, 2, 1) for _ in range(3)))
    analysis = analyze(model, (1, 8, 8))
    alone, larger = verify(None, analysis), verify(model, analysis)
    assert (alone.placed, alone.unplaced) == (2, 1)
    assert (larger.placed, larger.unplaced) == (3, 0)


def test_nothing_checked_is_nothing_verified(network):
    assert not verify(None, dataclasses.replace(network, rows=())).ok


def test_a_unit_that_sees_nothing_but_padding_shows_no_edge():
    model = nn.Sequential(*(nn.Conv2d(1, 1, 1, (1, 3), (1, 3)) for _ in range(2)))
    result = verify(None, analyze(model, (1, 5, 5)), units=0)
    assert result.ok, result.misplaced[:3]


def test_a_crop_inside_the_image_moves_no_edge():
    class Cropped(nn.Module):
        def forward(self, x):
            return F.pad(x[:, :, 2::3, 3::2], (1, 2, 2, 2)) * 1.0

    result = verify(None, analyze(Cropped(), (1, 8, 5)), units=0)
    assert result.ok, result.misplaced[:3]
