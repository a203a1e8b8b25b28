"""A trial's network in words, from the JSON of its spec."""

from __future__ import annotations

from models.presets import PRESETS
from reports.tables.specs import stages


def test_every_layer_of_a_preset_is_in_words_that_leave_defaults_out() -> None:
    assert stages(PRESETS["tiny"].to_json()) == [
        ("stem", [("conv 12", 12)]),
        ("c1", [("conv 24, stride 2", 24), ("conv 24, shortcut", 24)]),
        ("c2", [("conv 48, stride 2", 48), ("dilated 48, dilation 2, shortcut", 48)]),
        ("c3", [("conv 48", 48), ("dilated 48, dilation 2, shortcut", 48)]),
        ("c4", [("depthwise separable 96", 96), ("depthwise separable 96, shortcut", 96)]),
        ("output", [("conv-gap", 0)]),
    ]


def test_branches_and_switches_are_in_words() -> None:
    layer = {
        **{"kind": "split", "width": 8, "branches": [{"kernel": 7, "dilation": 3}, {"kernel": 1}]},
        **{"gated": True, "residual": 2, "dropout": False, "activation": "silu", "order": "norm-act-conv"},
    }
    words = "split 8, branches 7 with dilation 3 and 1, gated, shortcut over 2 layers, silu, norm-act-conv"
    assert stages({"c1": [layer]}) == [("c1", [(words, 8)])]


def test_a_record_of_another_form_is_passed_over() -> None:
    assert stages({"schema": 1, "name": "n", "input_size": [3, 32, 32], "c1": ["?"], "c2": []}) == []


def test_all_presets_have_words_for_all_of_their_layers() -> None:
    for preset in PRESETS.values():
        found = dict(stages(preset.to_json()))
        for name, stage in preset.parts():
            assert len(found.get(name, [])) == len(stage.layers)
