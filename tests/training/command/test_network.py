import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

import rfcalc
from models.catalogue import PUBLISHED
from models.presets import PRESETS
from records.run import RunRecord
from training.command.network import Network, chosen, loaded, loaded_again, source_of
from training.command.options import Options
from training.errors import TrainingError


def _published(name: str) -> Network:
    choice = chosen(Options(preset=name), "cpu")
    assert choice.target is not None
    return loaded(choice.target, choice.name)


@pytest.mark.parametrize(
    "name", ["cifar10_dilated_blocks", "cifar10_transpose", "resnet8", "resnet20", "resnet50_catdog_deep"]
)
def test_a_published_network_is_known_by_its_name(name):
    assert name in PUBLISHED
    network = _published(name)
    assert network.name == name
    assert network.source is not None
    assert "class" in network.source
    assert rfcalc.analyze(network.model, input_size=(3, 32, 32)).params > 50_000


def test_names_of_both_kinds_are_told_apart():
    assert not set(PRESETS) & set(PUBLISHED)


@pytest.mark.parametrize("way", ["preset", "model"])
def test_a_preset_and_a_published_network_are_named_either_way(way):
    assert chosen(Options(**{way: "wide"}), "cpu").spec == PRESETS["wide"]
    found = chosen(Options(**{way: "resnet8"}), "cpu")
    assert (found.name, found.target) == ("resnet8", "models.reference.resnet8:build_model")


def test_the_network_of_a_run_is_built_of_its_spec_and_nothing_is_run(tmp_path):
    spec = PRESETS["transposed"].to_json()
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "run.json").write_text(json.dumps({"schema": 2, "spec": spec}))
    (tmp_path / "best" / "model.py").write_text("raise RuntimeError('run')")
    for target in (tmp_path, tmp_path / "best" / "run.json"):
        assert chosen(Options(model=str(target)), "cpu").spec == PRESETS["transposed"]
    assert chosen(Options(spec=str(tmp_path / "best" / "run.json")), "cpu").spec == PRESETS["transposed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "residul"}, "--preset residul: unknown; did you mean residual"),
        ({"model": "residul"}, r"did you mean residual \(preset\)\?"),
        ({"model": "tiny@3x64x64"}, "the images decide the size"),
    ],
)
def test_an_unknown_network_is_met_with_the_nearest(options, message):
    with pytest.raises((TrainingError, rfcalc.RfcalcError), match=message):
        chosen(Options(**options), "cpu")


def test_a_published_network_is_found_again_by_its_record(finished):
    network = _published("resnet8")
    record = RunRecord.read(finished("held") / "run.json")
    record = replace(record, spec=None, target=network.target, network=network.name, source=network.source)
    found = loaded_again(record)
    assert (found.name, found.notice) == ("resnet8", None)
    changed = loaded_again(replace(record, source=f"{network.source}\n# as it was"))
    assert changed.notice == (
        "models.reference.resnet8:build_model is no longer what it was: "
        "the network comes from the text in run.json"
    )
    assert [value.shape for value in changed.model.state_dict().values()] == [
        value.shape for value in network.model.state_dict().values()
    ]


def test_other_classes_than_a_published_network_has_are_one_line(data, refused, tmp_path):
    line = refused(*data, "--preset", "resnet8", "--out", str(tmp_path / "runs"))
    assert line == "the network answers with shape (10,) an image, but the data has 3 classes"
    assert list(tmp_path.iterdir()) == []


def test_the_text_of_a_target_is_read_without_importing_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    inner = tmp_path / "outer_package" / "middle"
    inner.mkdir(parents=True)
    for folder in (inner.parent, inner):
        (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (inner / "net.py").write_text("raise RuntimeError('imported')")
    assert source_of("outer_package.middle.net:Net") == "raise RuntimeError('imported')"
    assert source_of("outer_package.middle") == "raise RuntimeError('imported')"
    assert source_of("outer_package/middle/net.py:Net") == "raise RuntimeError('imported')"
    for target in (
        "outer_package.none",
        "outer_package.middle.net.Net",
        "none",
        "none.py",
        "",
        "sys",
        "a\0b.py",
    ):
        assert source_of(target) is None
    assert (
        source_of("models.reference.resnet8")
        == Path(find_spec("models.reference.resnet8").origin).read_text()
    )
