from dataclasses import replace

import pytest
import torch

import rfcalc
from models.arithmetic import figures
from models.net import build
from models.presets import PRESETS
from models.spec import LayerSpec, NetSpec, StageSpec, stage_widths, with_widths
from search.propose.gate import Gate

PROJECT = rfcalc.Budget(
    min_receptive_field=53,
    max_params=99_999,
    min_depthwise_separable=2,
    min_dilated=1,
    require_gap=True,
    forbid_max_pool=True,
    stages=4,
)
TINY = PRESETS["tiny"]


def _wider(factor: int) -> NetSpec:
    return with_widths(TINY, [width * factor for width in stage_widths(TINY)])


def test_what_fits_is_admitted_with_its_figures() -> None:
    gate = Gate(PROJECT, (3, 32, 32))
    assert gate.admits(TINY)
    admission = gate.admission(TINY)
    parameters = sum(parameter.numel() for parameter in build(TINY).parameters())
    assert admission.params == parameters
    assert admission.margins["max_params"] == parameters - 99_999
    assert admission.broken == ()
    assert not gate.rejections
    # The features are judged; what the output layer sees afterwards is the whole image.
    sizes = [size for _, size in admission.growth]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (3, admission.receptive_field) == (3, figures(TINY).receptive_field[0])
    assert admission.growth[0][0] == "stem.0.conv"


def test_a_rejection_is_counted_by_the_limit_that_broke() -> None:
    gate = Gate(PROJECT, (3, 32, 32))
    plain = StageSpec((LayerSpec("conv", 8),))
    short_sighted = replace(TINY, stem=StageSpec(), c1=plain, c2=plain, c3=plain, c4=plain)
    assert not gate.admits(_wider(2))
    assert not gate.admits(_wider(3))
    assert not gate.admits(short_sighted)
    assert gate.rejections == {"max_params": 2, "min_receptive_field": 1}


def test_limits_that_need_the_built_network_are_judged_too() -> None:
    gate = Gate(replace(PROJECT, stages=3), (3, 32, 32))
    assert not gate.admits(TINY)
    assert gate.rejections == {"stages": 1}


def test_with_int8_a_network_needs_an_int8_form_and_its_bytes_are_those_of_int8() -> None:
    layer_norm = replace(TINY, stem=StageSpec((LayerSpec("conv", 12, norm="layer"),)))
    # In float32 the closed form alone would turn TINY away: 98,304 bytes.
    gate = Gate(replace(PROJECT, dtype="int8", max_peak_activation_bytes=40_000), (3, 32, 32))
    assert gate.admits(TINY)
    assert not gate.admits(layer_norm)
    assert gate.rejections == {"no int8 form": 1}
    assert gate.admission(layer_norm).broken == ("no int8 form",)
    assert gate.missed(layer_norm, figures(layer_norm)) == ("no int8 form",)
    assert Gate(PROJECT, (3, 32, 32)).admits(layer_norm)


def test_the_closed_forms_spare_the_hopeless_from_being_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(spec: NetSpec) -> torch.nn.Module:
        raise AssertionError("built")

    monkeypatch.setattr("search.propose.gate.build", never)
    assert not Gate(PROJECT, (3, 32, 32)).admits(_wider(3))
    with pytest.raises(AssertionError, match="built"):
        Gate(PROJECT, (3, 32, 32)).admits(TINY)
