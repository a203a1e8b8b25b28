from dataclasses import replace

import pytest

import rfcalc
from models.presets import PRESETS
from records.run import RunRecord
from training.command.arguments import parse
from training.command.network import PUBLISHED, chosen, fresh, of_run


@pytest.mark.parametrize("name", ["cifar10_dilated_blocks", "cifar10_transpose", "resnet8", "resnet20"])
def test_a_published_network_is_known_by_its_name(name):
    assert name in PUBLISHED
    network = fresh(chosen(parse(["--preset", name]), "cpu"), (3, 32, 32), 10)
    assert network.name == name
    assert network.source is not None
    assert "class" in network.source
    assert rfcalc.analyze(network.model, input_size=(3, 32, 32)).params > 50_000


def test_names_of_both_kinds_are_told_apart():
    assert not set(PRESETS) & set(PUBLISHED)


def test_a_published_network_is_found_again_by_its_record(finished):
    network = fresh(chosen(parse(["--preset", "resnet8"]), "cpu"), (3, 32, 32), 10)
    record = RunRecord.read(finished("held") / "run.json")
    record = replace(record, spec=None, target=network.target, network=network.name, source=network.source)
    found = of_run(record, (3, 32, 32), 10)
    assert (found.name, found.notice) == ("resnet8", None)
    changed = of_run(replace(record, source=f"{network.source}\n# as it was"), (3, 32, 32), 10)
    assert changed.notice == (
        "models.reference.resnet8 is no longer what it was: the network comes from the text in run.json"
    )
    assert [value.shape for value in changed.model.state_dict().values()] == [
        value.shape for value in network.model.state_dict().values()
    ]


def test_other_classes_than_a_published_network_has_are_one_line(data, refused, tmp_path):
    line = refused(*data, "--preset", "resnet8", "--out", str(tmp_path / "runs"))
    assert line == "the network answers with shape (10,) an image, but the data has 3 classes"
    assert list(tmp_path.iterdir()) == []
