"""The presets and the published networks: their known figures, and every limit of the project's budget."""

from __future__ import annotations

from pathlib import Path

import pytest

import rfcalc
from models.arithmetic import figures
from models.net import build
from models.presets import PRESETS
from models.reference import (
    cifar10_dilated_blocks,
    cifar10_transpose,
    densenet121_catdog,
    resnet8,
    resnet20,
    resnet50_catdog,
)
from rfcalc import read_budget

ROOT = Path(__file__).resolve().parents[2]
BUDGET = rfcalc.Budget(
    min_receptive_field=53,
    max_params=99_999,
    min_depthwise_separable=2,
    min_dilated=1,
    require_gap=True,
    forbid_max_pool=True,
    stages=4,
)
KNOWN = {  # parameters, MACs, receptive field, depthwise-separable pairs, dilated layers
    "tiny": (97_942, 7_996_416, 69, 2, 2),
    "residual": (99_346, 16_833_024, 81, 6, 1),
    "residual-mcu": (99_346, 16_833_024, 81, 6, 1),
    "transposed": (99_978, 18_585_088, 77, 6, 1),
    "wide": (95_309, 42_658_816, 169, 2, 6),
}


def test_every_preset_is_known_here():
    assert set(KNOWN) == set(PRESETS)
    assert all(name == spec.name for name, spec in PRESETS.items())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_their_known_figures(name):
    facts = figures(PRESETS[name])
    found = (facts.params, facts.macs, facts.receptive_field[0], facts.depthwise_separable, facts.dilated)
    assert found == KNOWN[name]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_the_whole_budget(name):
    spec = PRESETS[name]
    verdict = rfcalc.judge(rfcalc.analyze(build(spec), input_size=spec.input_size), BUDGET)
    assert verdict.ok
    assert max(verdict.margins.values()) <= 0


def test_the_budget_is_that_of_the_project():
    """The numbers above stand here so that a change of pyproject.toml cannot pass unseen."""
    assert read_budget(ROOT / "pyproject.toml") == BUDGET


def test_presets_fit_their_purpose():
    macs = {name: figures(spec).macs / 1e6 for name, spec in PRESETS.items()}
    assert macs["tiny"] < 10
    assert 12 < macs["residual"] < 17
    assert 40 < macs["wide"] < 45
    kinds = {layer.kind for stage in PRESETS["transposed"].stages for layer in stage.layers}
    assert "transposed" in kinds


@pytest.mark.parametrize(
    ("build_reference", "size", "field", "broken"),
    [
        pytest.param(
            cifar10_transpose.build_model,
            32,
            23,
            {"min_receptive_field": 30},
            id="cifar10_transpose",
        ),
        pytest.param(
            cifar10_dilated_blocks.build_model,
            32,
            81,
            {"max_params": 97_614, "min_depthwise_separable": 1},
            id="cifar10_dilated_blocks",
        ),
        pytest.param(
            resnet8.build_model,
            32,
            25,
            {"min_receptive_field": 28, "min_depthwise_separable": 2, "min_dilated": 1, "stages": 1},
            id="resnet8",
        ),
        pytest.param(
            resnet20.build_model,
            32,
            81,
            {"max_params": 169_723, "min_depthwise_separable": 2, "min_dilated": 1, "stages": 1},
            id="resnet20",
        ),
        pytest.param(
            densenet121_catdog.build_model,
            244,
            2071,
            {"max_params": 7_510_499, "min_depthwise_separable": 2, "min_dilated": 1, "forbid_max_pool": 1},
            id="densenet121_catdog",
        ),
        pytest.param(
            resnet50_catdog.build_model,
            224,
            427,
            {"max_params": 23_412_131, "min_depthwise_separable": 2, "min_dilated": 1, "forbid_max_pool": 1},
            id="resnet50_catdog, new fc",
        ),
        pytest.param(
            resnet50_catdog.build_deep_head,
            224,
            427,
            {"max_params": 23_985_835, "min_depthwise_separable": 2, "min_dilated": 1, "forbid_max_pool": 1},
            id="resnet50_catdog, deep head",
        ),
    ],
)
def test_published_networks_break_exactly_these_limits(build_reference, size, field, broken):
    analysis = rfcalc.analyze(build_reference(), input_size=(3, size, size))
    verdict = rfcalc.judge(analysis, BUDGET)
    assert analysis.field.size == (field, field)
    assert {name: margin for name, margin in verdict.margins.items() if margin > 0} == broken
    assert not verdict.ok
    row = f"| {analysis.params:,} | {analysis.macs:,} | {field} | {analysis.field.jump[0]} |"
    assert row in (ROOT / "docs" / "published-networks.md").read_text(encoding="utf-8")


def test_the_documented_figures_of_presets_are_theirs():
    text = (ROOT / "docs" / "grammar.md").read_text(encoding="utf-8")
    for name, (params, macs, field, pairs, dilated) in KNOWN.items():
        assert f"| `{name}` | {params:,} | {macs:,} | {field} | {pairs} | {dilated} |" in text
