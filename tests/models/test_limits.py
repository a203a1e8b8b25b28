"""Upper bounds of the grammar: one above is refused in one line, the bound runs, the documents say it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from models import limits
from models.arithmetic import figures
from models.net import build
from models.spec import BranchSpec, LayerSpec, NetSpec, SpecError, StageSpec

ROOT = Path(__file__).resolve().parents[2]
ONE = StageSpec((LayerSpec("conv", 4, 1),))


def net(*layers: LayerSpec, **parts: object) -> NetSpec:
    values = {"name": "net", "c1": ONE, "c2": StageSpec(layers) if layers else ONE, "c3": ONE, "c4": ONE}
    return NetSpec(**(values | parts))


def split(dilation: int) -> LayerSpec:
    return LayerSpec("split", 4, branches=(BranchSpec(3, dilation), BranchSpec(3)))


def ups(count: int) -> tuple[LayerSpec, ...]:
    """Up-samplings that a strided layer takes back each, so that the map stays small."""
    pair = (LayerSpec("transposed", 4, stride=2), LayerSpec("conv", 4, 1, stride=3))
    return pair * count


ABOVE = [
    pytest.param({"layers": [LayerSpec("conv", 4, 1, stride=2_000_000)]}, "stride .* 1 to 64", id="segfault"),
    pytest.param({"layers": [LayerSpec("conv", 4, 1, stride=65)]}, "stride .* 1 to 64", id="stride"),
    pytest.param({"layers": [LayerSpec("conv", 4_097, 1)]}, "width .* 1 to 4096", id="width"),
    pytest.param({"layers": [LayerSpec("conv", 4, 8)]}, "kernel .* 1 to 7", id="kernel"),
    pytest.param({"layers": [LayerSpec("dilated", 4, dilation=257)]}, "dilation .* 1 to 256", id="dilation"),
    pytest.param({"layers": [split(257)]}, "branch 0: dilation .* 1 to 256", id="branch"),
    pytest.param(
        {"layers": [LayerSpec("dilated", 4, dilation=256, padding=513)]}, "padding .* = 512 ", id="padding"
    ),
    pytest.param({"layers": [LayerSpec("conv", 4, 1)] * 101}, "c2: a stage has at most 100", id="depth"),
    pytest.param({"layers": ups(13)}, "net: at most 12 layers may up-sample, but got 13", id="up-sampling"),
    pytest.param({"classes": 65_537}, "classes: .* from 1 to 65536, but got 65537", id="classes"),
    pytest.param({"input_size": (4_097, 8, 8)}, "channels from 1 to 4096", id="channels"),
    pytest.param({"input_size": (3, 8, 4_097)}, "height and width from 1 to 4096", id="side"),
    pytest.param(
        {"input_size": (3, 4_096, 4_096), "layers": [LayerSpec("conv", 17, 1)]},
        r"c2, layer 0 \(conv\): the map 17x4096x4096 has more than 268435456 elements: lower width=17",
        id="map",
    ),
    pytest.param({"layers": [LayerSpec("conv", 10**4_000, 1)]}, r"but got 10{76}\.\.\.$", id="long number"),
    pytest.param({"layers": [LayerSpec("conv", 1 << 20_000, 1)]}, "but got a int that", id="too long"),
]


@pytest.mark.parametrize(("parts", "message"), ABOVE)
def test_a_value_above_its_bound_is_refused_in_one_line(parts, message):
    with pytest.raises(SpecError, match=message) as caught:
        net(*parts.pop("layers", ()), **parts)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


AT = {
    "stride": [LayerSpec("conv", 4, 1, stride=64), LayerSpec("split", 4, branches=(BranchSpec(),) * 2)],
    "width": [LayerSpec("depthwise_separable", 4_096)],
    "kernel and dilation": [LayerSpec("dilated", 4, 7, dilation=256), split(256)],
    "padding": [LayerSpec("dilated", 4, 7, stride=64, dilation=256, padding=1_536)],
    "transposed": [LayerSpec("transposed", 4, 7, dilation=256)],
    "depth": [LayerSpec("conv", 4, 1)] * 100,
    "up-sampling": ups(12),
}


@pytest.mark.parametrize("layers", AT.values(), ids=AT)
def test_the_bound_itself_is_measured_and_runs(layers):
    spec = net(*layers, input_size=(3, 8, 8))
    assert figures(spec).params > 0
    with torch.no_grad():
        assert build(spec).eval()(torch.zeros(1, 3, 8, 8)).shape == (1, 10)


def test_the_largest_image_and_the_most_classes_are_measured():
    spec = net(input_size=(3, 4_096, 4_096), classes=65_536)
    assert figures(spec).receptive_field == (1, 1)


def test_the_document_of_the_grammar_names_every_bound():
    text = (ROOT / "docs" / "grammar.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(MAX_[A-Z]+)` \| ([\d,]+) \|", text, re.MULTILINE))
    bounds = {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}
    assert {name: int(value.replace(",", "")) for name, value in rows.items()} == bounds
