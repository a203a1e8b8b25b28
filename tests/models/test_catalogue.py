import json
from pathlib import Path

import pytest

from models.catalogue import NETWORKS, PUBLISHED, read, spec_of
from models.errors import SpecError
from models.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_name_stands_for_a_function_that_is_there(name: str) -> None:
    place, function = PUBLISHED[name].target.split(":")
    assert f"def {function}(" in (ROOT / f"{place.replace('.', '/')}.py").read_text()


def test_every_module_of_published_networks_has_a_name() -> None:
    files = {f"models.reference.{path.stem}" for path in (ROOT / "models" / "reference").glob("[!_]*.py")}
    assert {entry.target.split(":")[0] for entry in PUBLISHED.values()} == files


def test_no_name_is_of_two_kinds() -> None:
    assert not set(PRESETS) & set(PUBLISHED)
    assert set(NETWORKS) == {*PRESETS, *PUBLISHED}


def test_a_spec_is_read_from_its_file_and_from_a_record_that_keeps_it(tmp_path: Path) -> None:
    spec = PRESETS["wide"].to_json()
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    (tmp_path / "run.json").write_text(json.dumps({"schema": 2, "name": "x", "spec": spec}))
    assert read(tmp_path / "spec.json").spec == read(tmp_path / "run.json").spec == PRESETS["wide"]
    assert spec_of("", tmp_path / "run.json") == spec_of("wide", None) == PRESETS["wide"]
    assert spec_of("resnet8", None) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 2, "spec": null, "target": "net.py:Net"}', "keeps no spec; .*: net.py:Net"),
        ('{"schema": 2, "spec": {"schema": 1}}', "run.json: spec: the key 'name' is missing"),
        ('{"lr": 0.1}', "has no 'schema', so it is no network spec"),
        ("[1", "run.json: is not JSON"),
    ],
)
def test_a_file_without_a_spec_is_refused_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(SpecError, match=message):
        read(tmp_path / "run.json")


def test_arguments_of_a_preset_are_refused() -> None:
    with pytest.raises(TypeError, match="a preset takes no arguments, but got width"):
        NETWORKS["tiny"].build(width=3)
