"""Specs: JSON both ways, widths, and every rule with the place, the value and the way out."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.presets import PRESETS
from models.spec import (
    BranchSpec,
    LayerSpec,
    NetSpec,
    OutputSpec,
    SpecError,
    StageSpec,
    stage_widths,
    with_widths,
)

ROOT = Path(__file__).resolve().parents[2]


def net(*layers: LayerSpec, **parts: object) -> NetSpec:
    """A network whose C2 has these layers; it reads 16 channels at 32x32."""
    one = StageSpec((LayerSpec("conv", 16),))
    values = {"name": "net", "c1": one, "c2": StageSpec(layers) if layers else one, "c3": one, "c4": one}
    return NetSpec(**(values | parts))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    spec = PRESETS[name]
    assert NetSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_every_kind_and_option_survives_json(everything):
    assert NetSpec.from_json(json.loads(json.dumps(everything.to_json()))) == everything


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_specs_survive_json(data, specs):
    spec = data.draw(specs)
    assert NetSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_spec_is_read_from_its_file(tmp_path, everything):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(everything.to_json()), encoding="utf-8")
    assert NetSpec.read(path) == everything


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"{", "is not JSON (Expecting property name"),
        (b"[" * 200_000, "is not JSON (maximum recursion depth"),
        (b'{"schema": ' + b"1" * 5_000 + b"}", "is not JSON (Exceeds the limit (4300 digits)"),
        (b"\xff", "is not JSON ('utf-8' codec can't decode"),
        (b"[]", "spec: must be a JSON object, but got []"),
        (b'{"schema": 1, "name": "a"}', "spec: the key 'c1' is missing"),
    ],
)
def test_a_file_that_holds_no_spec_is_named(tmp_path, content, text):
    path = tmp_path / "spec.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError) as error:
        NetSpec.read(path)
    assert str(error.value).startswith(f"{path}: {text}")


def test_json_leaves_defaults_out():
    assert net(LayerSpec("conv", 16, residual=1)).to_json()["c2"] == [
        {"kind": "conv", "width": 16, "residual": 1}
    ]


def test_specs_compare_and_hash_by_value():
    assert net() == net()
    assert len({net(), net(), net(LayerSpec("conv", 17))}) == 2


def test_the_grammar_and_its_arithmetic_do_not_import_torch():
    code = "import sys, models.presets, models.fill, models.source; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


BAD_LAYERS = [
    (LayerSpec("conv", 0), r"c2, layer 0 \(conv\): width must be a whole number from 1 to 4096, but got 0"),
    (LayerSpec("conv", -8), "width must be a whole number from 1 to 4096, but got -8"),
    (LayerSpec("conv", 8.0), "width must be a whole number from 1 to 4096, but got 8.0"),
    (LayerSpec("conv", True), "width must be a whole number from 1 to 4096, but got True"),
    (LayerSpec("pool", 16), "kind must be one of conv, depthwise_separable, .*, but got 'pool'"),
    (LayerSpec("conv", 16, 8), "kernel must be a whole number from 1 to 7, but got 8"),
    (LayerSpec("conv", 16, stride=0), "stride must be a whole number from 1 to 64, but got 0"),
    (LayerSpec("conv", 16, stride="2"), "stride must be a whole number from 1 to 64, but got '2'"),
    (LayerSpec("conv", 16, dilation=2), "a conv has dilation 1 .*, but got dilation=2"),
    (LayerSpec("dilated", 16), "dilation and kernel must be at least 2, but got dilation=1, kernel=3"),
    (LayerSpec("depthwise_separable", 16, 1), "kernel must be at least 2 .*, but got kernel=1"),
    (LayerSpec("conv", 16, padding=3), r"padding must be null or .* = 2 .*, but got 3"),
    (
        LayerSpec("conv", 16, groups=3),
        "groups must divide the input channels and the width, but got groups=3, 16 in",
    ),
    (LayerSpec("conv", 16, groups=0), "groups must be a whole number >= 1 or 'depthwise', but got 0"),
    (
        LayerSpec("conv", 17, groups="depthwise"),
        "a depthwise layer keeps its channels, but got width=17 for 16",
    ),
    (LayerSpec("depthwise_separable", 16, groups=2), "groups belong to conv, dilated and transposed layers"),
    (
        LayerSpec("conv", 16, branches=(BranchSpec(),) * 2),
        "branches belong to split layers, but got .BranchSpec",
    ),
    (
        LayerSpec("transposed", 16, stride=3),
        r"stride must be 1 \(dilated\) or 2 \(up-sampling\), but got stride=3",
    ),
    (
        LayerSpec("transposed", 16, 1, stride=2),
        "needs kernel >= 2 and odd dilation .*, but got kernel=1, dilation=1",
    ),
    (LayerSpec("transposed", 16, stride=2, dilation=2), "but got kernel=3, dilation=2"),
    (LayerSpec("split", 16), r"a split needs a tuple of at least two branches, but got \(\)"),
    (
        LayerSpec("split", 16, 5, branches=(BranchSpec(),) * 2),
        "kernel and dilation of a split belong to its branches",
    ),
    (
        LayerSpec("split", 16, branches=(BranchSpec(), BranchSpec(4))),
        "kernel of branch 1 must be 1, 3, 5 or 7, but got 4",
    ),
    (
        LayerSpec("split", 16, branches=(BranchSpec(1), BranchSpec(1))),
        "at least one branch needs a kernel above 1",
    ),
    (
        LayerSpec("split", 16, branches=(BranchSpec(),) * 17),
        "17 branches need as many input channels, but got 16",
    ),
    (
        LayerSpec("split", 16, stride=2, branches=(BranchSpec(1), BranchSpec())),
        "which stride=2 does not allow",
    ),
    (LayerSpec("conv", 16, dropout=1.0), "dropout must be a number from 0 to below 1, but got 1.0"),
    (LayerSpec("conv", 16, dropout=float("nan")), "dropout must be a number .* but got nan"),
    (LayerSpec("conv", 16, norm="group"), "norm must be one of batch, layer, none, but got 'group'"),
    (LayerSpec("conv", 16, activation="swish"), "activation must be one of relu, .*, but got 'swish'"),
    (LayerSpec("conv", 16, order="act-conv"), "order must be one of conv-norm-act, .*, but got 'act-conv'"),
    (LayerSpec("conv", 16, gated=1), "gated must be true or false, but got 1"),
    (LayerSpec("conv", 16, squeeze_excite=-1), "squeeze_excite must be a whole number >= 0, but got -1"),
    (LayerSpec("conv", 16, norm=["batch"]), r"norm must be one of batch, layer, none, but got \['batch'\]"),
    (LayerSpec("split", 16, branches=[BranchSpec()] * 2), "a split needs a tuple of at least two branches"),
    (
        LayerSpec("split", 16, branches=(BranchSpec(), BranchSpec(3.0))),
        "kernel of branch 1 must be 1, 3, 5 or 7, but",
    ),
    (
        LayerSpec("conv", 24, residual=1),
        "a residual needs equal shapes, but its input is 16x32x32 and its output 24x32x32",
    ),
    (LayerSpec("conv", 16, stride=2, residual=1), "its input is 16x32x32 and its output 16x16x16"),
    (LayerSpec("conv", 16, residual=2), "residual=2 reaches over the start of the stage, which has 1 layers"),
]


@pytest.mark.parametrize(("layer", "message"), BAD_LAYERS)
def test_a_layer_that_breaks_a_rule_is_refused_with_its_place_and_value(layer, message):
    with pytest.raises(SpecError, match=message) as caught:
        net(layer)
    assert str(caught.value).startswith("c2, layer 0")


def test_a_stage_that_shrinks_the_map_to_nothing_is_refused():
    shrinking = [LayerSpec("conv", 16, 7, padding=0)] * 6
    with pytest.raises(
        SpecError, match=r"c2, layer 5 \(conv\): shrinks the map to nothing, 2x2 to -4x-4: lower stride=1"
    ):
        net(*shrinking)


@pytest.mark.parametrize(
    ("size", "shape"), [((3, 32, 4), "32x4 to 26x-2"), ((3, 4, 32), "4x32 to -2x26")], ids=str
)
def test_one_side_that_shrinks_to_nothing_is_enough(size, shape):
    with pytest.raises(SpecError, match=f"shrinks the map to nothing, {shape}"):
        replace(
            net(LayerSpec("conv", 16)), input_size=size, c2=StageSpec((LayerSpec("conv", 16, 7, padding=0),))
        )


@pytest.mark.parametrize("width", [24.0, True, 24])
def test_a_verdict_on_one_layer_is_not_taken_for_an_equal_one_of_another_type(width):
    net(LayerSpec("conv", 24), LayerSpec("conv", 1))
    if type(width) is int:
        assert stage_widths(net(LayerSpec("conv", width)))[1] == 24
        return
    with pytest.raises(SpecError, match="width must be a whole number"):
        net(LayerSpec("conv", width))


def test_the_second_layer_of_a_stage_is_named():
    with pytest.raises(SpecError, match=r"^c2, layer 1 \(conv\): width"):
        net(LayerSpec("conv", 16), LayerSpec("conv", 0))


def test_a_shortcut_over_changed_scale_is_refused_even_where_shapes_agree():
    """A 2x2 map strided by 2 with all its padding stays 2x2."""
    small = StageSpec((LayerSpec("conv", 16, stride=16),))
    with pytest.raises(
        SpecError, match="needs an unchanged scale, but its strides divide by 2 and multiply by 1"
    ):
        net(LayerSpec("conv", 16, stride=2, padding=2, residual=1), c1=small)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"c3": StageSpec()}, "c3: a stage needs at least one layer"),
        ({"c3": [LayerSpec("conv", 8)]}, "c3: must be a StageSpec"),
        ({"c3": StageSpec(("conv",))}, "c3, layer 0: must be a LayerSpec, but got 'conv'"),
        ({"name": ""}, "name: must be up to 100 letters"),
        ({"name": '"""'}, "name: must be up to 100 letters"),
        ({"classes": 0}, "classes: must be a whole number from 1 to 65536, but got 0"),
        ({"input_size": (3, 32)}, r"input_size: must be three whole numbers, .*, but got \(3, 32\)"),
        ({"input_size": (3, 0, 32)}, r"input_size: .*, but got \(3, 0, 32\)"),
        (
            {"output": OutputSpec("linear")},
            "output: kind must be one of conv-gap, gap-linear, but got 'linear'",
        ),
        ({"output": OutputSpec(dropout=2)}, "output: dropout must be a number from 0 to below 1, but got 2"),
        ({"output": OutputSpec(norm=[])}, r"output: norm must be one of batch, layer, none, but got \[\]"),
        ({"output": None}, "output: must be an OutputSpec, but got None"),
    ],
)
def test_a_part_that_breaks_a_rule_is_refused(parts, message):
    with pytest.raises(SpecError, match=message):
        net(**parts)


def change(path: list[object], value: object) -> object:
    """Return a valid spec's JSON with one entry changed."""
    data = copy.deepcopy(net().to_json())
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], r"spec: must be a JSON object, but got \[\]"),
        (None, "spec: must be a JSON object, but got None"),
        ({"epochs": 3}, r"spec: has no 'schema', so it is no network spec; its keys are \['epochs'\]"),
        (change(["schema"], 2), "schema: this version reads schema 1, but got 2"),
        (change(["schema"], True), "schema: this version reads schema 1, but got True"),
        (change(["c5"], []), "spec: unknown key 'c5'; known are schema, name"),
        ({"schema": 1, "name": "x"}, "spec: the key 'c1' is missing"),
        (change(["c2"], {}), r"c2: must be a list of layers, but got \{\}"),
        (change(["c2", 0], 3), "c2, layer 0: must be a JSON object, but got 3"),
        (change(["c2", 0, "filters"], 3), "c2, layer 0: unknown key 'filters'; known are kind, width"),
        (change(["c2", 0], {"width": 3}), "c2, layer 0: the key 'kind' is missing"),
        (change(["c2", 0, "branches"], 3), "c2, layer 0: branches must be a list of JSON objects, but got 3"),
        (change(["c2", 0, "branches"], [{"size": 3}]), "c2, layer 0, branch 0: unknown key 'size'"),
        (
            change(["c2", 0, "width"], "16"),
            "c2, layer 0 .conv.: width must be a whole number from 1 to 4096, but got '16'",
        ),
        (change(["c2", 0, "width"], [16]), r"c2, layer 0 .conv.: width must be .* but got \[16\]"),
        (change(["output"], "conv-gap"), "output: must be a JSON object, but got 'conv-gap'"),
        (change(["output", "bias"], True), "output: unknown key 'bias'"),
        (change(["input_size"], 32), "input_size: must be three whole numbers"),
        (change(["name"], None), "name: must be up to 100 letters"),
    ],
)
def test_json_that_is_not_a_spec_is_refused(data, message):
    with pytest.raises(SpecError, match=message):
        NetSpec.from_json(data)


def test_widths_are_those_of_the_last_layers():
    spec = net(LayerSpec("conv", 8), LayerSpec("conv", 24))
    assert stage_widths(spec) == (16, 24, 16, 16)


def test_new_widths_keep_ratios_and_shortcuts_inside_a_stage():
    spec = net(LayerSpec("conv", 32), LayerSpec("conv", 16), LayerSpec("conv", 32, residual=2))
    wider = with_widths(spec, (20, 40, 24, 28))
    assert [layer.width for layer in wider.c2.layers] == [40, 20, 40]
    assert stage_widths(wider) == (20, 40, 24, 28)


def test_new_widths_carry_a_stem_that_a_shortcut_ties_to_c1():
    stem = StageSpec((LayerSpec("conv", 16),))
    tied = net(stem=stem, c1=StageSpec((LayerSpec("conv", 16, residual=1),)))
    assert with_widths(tied, (24, 16, 16, 16)).stem.layers[0].width == 24
    assert with_widths(net(stem=stem), (24, 16, 16, 16)).stem == stem


def test_new_widths_reach_depthwise_layers():
    spec = net(LayerSpec("conv", 16), LayerSpec("dilated", 16, dilation=2, groups="depthwise", residual=1))
    assert [layer.width for layer in with_widths(spec, (16, 24, 16, 16)).c2.layers] == [24, 24]


def test_new_widths_that_fit_no_network_are_refused():
    with pytest.raises(SpecError, match="widths: must be one for each of c1, c2, c3, c4"):
        with_widths(net(), (16, 16))
    with pytest.raises(SpecError, match=r"c2, layer 0 .conv.: groups must divide"):
        with_widths(net(LayerSpec("conv", 16, groups=4)), (16, 18, 16, 16))
    for tied in (LayerSpec("conv", 16, groups="depthwise"), LayerSpec("conv", 16, residual=1)):
        with pytest.raises(SpecError, match=r"c2: .* shortcuts keep 16 channels, not 24"):
            with_widths(net(tied), (16, 24, 16, 16))
    with pytest.raises(SpecError, match="width must be a whole number from 1 to 4096, but got 0"):
        with_widths(net(), (16, 0, 16, 16))


def test_replacing_a_part_checks_again():
    with pytest.raises(SpecError, match="c4: a stage needs at least one layer"):
        replace(net(), c4=StageSpec())
