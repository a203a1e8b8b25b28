"""The networks that take part in a search from its start: presets, and what the user names."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import rfcalc
from models.net import build
from models.presets import PRESETS
from search.errors import SearchError
from search.propose.limits import project_budget
from search.propose.rivals import given, rivals
from search.settings import Settings


def test_by_default_the_presets_are_those_that_fit() -> None:
    budget, size = project_budget(), (3, 32, 32)
    assert rivals(None, budget, size, 10) == PRESETS
    small = rivals(None, budget, size, 10, 20_000_000)
    assert 0 < len(small) < len(PRESETS)
    assert all(rfcalc.analyze(build(PRESETS[name]), input_size=size).macs <= 20_000_000 for name in small)
    assert tuple(rivals(None, replace(budget, max_params=97_500), size, 10)) == tuple(
        name
        for name, spec in PRESETS.items()
        if sum(each.numel() for each in build(spec).parameters()) <= 97_500
    )


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("tiny,resdual", r"resdual: no file, run folder, .*; did you mean residual \(preset\)\?"),
        ("tiny,tiny", "tiny is the network of tiny; name each network once"),
        ("wide", r"wide breaks max_macs by [\d,]+ of this search; leave it out"),
        ("tiny,", "'' names nothing"),
        ("resnet20", "resnet20: no spec describes it, so no search can start from it; name a preset"),
        ("tiny@3x32x32", "the images decide the size; leave the @ out"),
    ],
)
def test_presets_that_cannot_take_part_are_refused(asked: str, text: str) -> None:
    budget = replace(project_budget(), max_macs=20_000_000)
    with pytest.raises(SearchError, match=text):
        rivals(asked, budget, (3, 32, 32), 10)


def test_none_of_them_can_be_asked_for_and_one_that_is_large_too() -> None:
    assert rivals("none", project_budget(), (3, 32, 32), 10) == {}
    assert list(rivals("wide", project_budget(), (3, 32, 32), 10, 20_000_000)) == ["wide"]


def _written(folder: Path) -> Path:
    """Write a network that is no preset as a spec.json, and a search's run folder whose winner it is."""
    spec = replace(PRESETS["tiny"], name="mine", stem=PRESETS["residual"].stem, classes=4)
    (folder / "mine.json").write_text(json.dumps(spec.to_json()))
    (folder / "run" / "best").mkdir(parents=True)
    (folder / "run" / "best" / "run.json").write_text(json.dumps({"schema": 2, "spec": spec.to_json()}))
    return folder / "mine.json"


def test_a_spec_and_the_winner_of_another_search_take_part_beside_a_preset(tmp_path: Path) -> None:
    file = _written(tmp_path)
    for name in (str(file), str(tmp_path / "run")):
        found = rivals(f"tiny, {name}", project_budget(), (3, 32, 32), 10, flag="--start")
        assert list(found) == ["tiny", name]
        assert found["tiny"] == PRESETS["tiny"]
        assert found[name].name == "mine"


def test_what_the_search_started_from_is_kept_though_the_file_changes(
    tmp_path: Path, settings: Settings
) -> None:
    file = _written(tmp_path)
    found = rivals(f"tiny,{file}", project_budget(), (3, 32, 32), 10)
    kept = replace(settings, presets=tuple(found), given=given(found))
    assert list(kept.given) == [str(file)]  # a preset is known by its name
    file.unlink()
    assert Settings.from_json(json.loads(json.dumps(kept.to_json()))).candidates == found


def test_one_network_under_two_names_is_refused(tmp_path: Path) -> None:
    file = _written(tmp_path)
    with pytest.raises(SearchError, match=f"run is the network of {file}; name each network once"):
        rivals(f"{file},{tmp_path / 'run'}", project_budget(), (3, 32, 32), 10)
