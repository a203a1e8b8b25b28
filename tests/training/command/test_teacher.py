import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import train
from records.run import RunRecord, TeacherFacts
from training.command.repeat import differences
from training.command.teacher import WEIGHT
from training.fit.checkpoint import load_weights, save_weights
from training.fit.weights import load_network


@pytest.fixture
def student(data, place, tmp_path, monkeypatch):
    """`student("name", "--flag", ...)` trains `tiny` in an empty folder; returns its record and weights."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *words: str) -> tuple[RunRecord, dict[str, torch.Tensor]]:
        given = [*data, "--preset", "tiny", "--recipe", str(place / "recipe.json"), "--device", "cpu"]
        assert train.main([*given, "--name", name, *words]) == 0
        folder = Path("runs/train") / name
        return RunRecord.read(folder / "run.json"), load_weights(folder / "best.safetensors")[0]

    return run


@pytest.mark.slow
def test_a_student_learns_from_the_teacher_that_is_named(finished, student, capsys):
    held = finished("held")
    record, weights = student("taught", "--deterministic", "--seed", "3", "--teacher", str(held))
    assert f"taught by tiny of {held}" in capsys.readouterr().out
    assert record.recipe["distill_weight"] == WEIGHT
    assert record.teacher is not None
    assert (record.teacher.path, record.teacher.network) == (str(held), "tiny")
    alone, others = student("alone", "--deterministic", "--seed", "3")
    assert (alone.teacher, alone.recipe["distill_weight"]) == (None, 0.0)
    assert not all(torch.equal(value, others[name]) for name, value in weights.items())
    # Repeating it asks the same teacher.
    assert train.main(["--from", "runs/train/taught", "--name", "again"]) == 0
    again = load_weights(Path("runs/train/again/best.safetensors"))[0]
    assert all(torch.equal(value, again[name]) for name, value in weights.items())


@pytest.mark.slow
def test_the_share_that_a_recipe_gives_the_teacher_stays(finished, student, place, tmp_path):
    value = json.loads((place / "recipe.json").read_text())
    (tmp_path / "own.json").write_text(json.dumps(value | {"distill_weight": 0.25}))
    record, _ = student("taught", "--recipe", "own.json", "--teacher", str(finished("held")))
    assert record.recipe["distill_weight"] == 0.25


def test_a_teacher_that_cannot_teach_is_one_line(finished, data, refused, tmp_path):
    out = ["--out", str(tmp_path / "runs"), "--device", "cpu"]
    assert "--teacher none: none is missing" in refused(*data, *out, "--teacher", "none")
    for name, size, classes in (("big", 48, ("blue", "green", "red")), ("pets", 32, ("cat", "dog", "eel"))):
        _images(tmp_path / name, size, classes)
    given = ["--cache", str(tmp_path / "cache"), "--teacher", str(finished("held"))]
    line = refused(*out, *given, "--data", str(tmp_path / "pets"))
    assert "knows 3 classes (blue, green, red" in line
    line = refused(*out, *given, "--data", str(tmp_path / "big"))
    assert line.endswith("was trained on images of 32x32, the data has 48x48")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "change",
    [{"normalisation": {"mean": [1.0] * 3}}, {"normalisation": 3}, {"classes": 3}, {"input_size": None}],
    ids=lambda change: next(iter(change)),
)
def test_a_teacher_of_odd_metadata_is_one_line(finished, data, refused, tmp_path, change):
    network, metadata = load_network(finished("held"))
    path = tmp_path / "odd.safetensors"
    save_weights(path, network, metadata | change)
    line = refused(*data, "--out", str(tmp_path / "runs"), "--device", "cpu", "--teacher", str(path))
    assert f"--teacher {path}: " in line
    assert (
        f"{next(iter(change))!r} of its metadata cannot be" in line or "its metadata is not that of" in line
    )


def test_a_teacher_without_spec_is_told_what_it_lacks(finished, data, refused, tmp_path):
    network, metadata = load_network(finished("held"))
    path = tmp_path / "bare.safetensors"
    save_weights(path, network, {key: value for key, value in metadata.items() if key != "spec"})
    line = refused(*data, "--out", str(tmp_path / "runs"), "--device", "cpu", "--teacher", str(path))
    assert f"--teacher {path}: has no spec" in line
    assert "--model model.py" not in line


def _images(folder: Path, size: int, classes: tuple[str, ...]) -> None:
    for split in ("train", "test"):
        for number, label in enumerate(classes):
            (folder / split / label).mkdir(parents=True)
            for index in range(2):
                image = Image.new("RGB", (size, size), (80 * number, 40 * index, 90 * index))
                image.save(folder / split / label / f"{index}.png")


def test_other_weights_of_the_teacher_are_a_difference(finished):
    now = RunRecord.read(finished("held") / "run.json")
    place = replace(now.environment, git_dirty=False)
    now = replace(now, teacher=TeacherFacts("runs/x", "tiny", 1), environment=place)
    before = replace(now, teacher=TeacherFacts("runs/x", "tiny", 2))
    assert differences(before, now) == ("teacher: runs/x holds other weights than then",)
