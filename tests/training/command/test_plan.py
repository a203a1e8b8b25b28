import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from records.run import RunRecord
from training.fit.recipe import RECIPES

NET = (
    "from torch import nn\n"
    "model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))\n"
)


@pytest.fixture
def command(data, place, tmp_path, monkeypatch):
    """`command("--flag", ...)` trains for one epoch in an empty folder."""
    monkeypatch.chdir(tmp_path)
    given = [*data, "--recipe", str(place / "recipe.json"), "--device", "cpu", "--name", "a"]
    return lambda *words: train.main([*given, *words])


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        ("max-params = 10", "budget    BROKEN: max-params 10 (has 127)"),
        ("max-params = 127\nrequire-gap = true", "budget    all 2 limits of"),
        ("", "budget    none ([tool.rfcalc] in a pyproject.toml would set one)"),
    ],
    ids=["broken", "held", "none"],
)
def test_the_verdict_is_said_before_the_training(command, tmp_path, capsys, limits, line):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    if limits:
        (folder / "pyproject.toml").write_text(f"[tool.rfcalc]\n{limits}\n")
    assert command("--model", "mine/net.py") == 0
    out = capsys.readouterr().out
    assert line in out
    assert out.index("budget") < out.index("epoch     loss")
    assert RunRecord.read(Path("runs/train/a/run.json")).finished  # a broken budget is a verdict, no error


def test_images_of_any_size_and_shape_are_trained_on_and_named(command, tmp_path, capsys):
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 2)):
        for number, label in enumerate(("left", "right")):
            (tmp_path / "bars" / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 99, (24, 40, 3), dtype=np.uint8)
                pixels[:, 20 * number : 20 * number + 20] += 150
                Image.fromarray(pixels).save(tmp_path / "bars" / split / label / f"{index}.png")
    assert command("--data", "bars", "--preset", "tiny") == 0
    out = capsys.readouterr().out
    assert "data      bars (folder of images): 22 images of 24x40 to train, 2 to validate" in out
    record = RunRecord.read(Path("runs/train/a/run.json"))
    assert record.dataset.image_size == (24, 40)
    assert record.spec is not None
    assert (tuple(record.spec["input_size"]), record.spec["classes"]) == ((3, 24, 40), 2)
    Image.new("RGB", (80, 80)).save("square.png")
    for path in ("bars/test/left/0.png", "square.png"):
        assert train.main(["--predict", path, "--weights", "runs/train/a"]) == 0
        out = capsys.readouterr().out
        assert ("brought to the network's 40x24" in out) == (path == "square.png")
        assert "left" in out


def test_the_recipe_takes_what_the_flags_say(command):
    words = ["--preset", "tiny", "--policy", "strong", "--augment", "gpu", "--compile", "off"]
    assert command(*words) == 0
    recipe = RunRecord.read(Path("runs/train/a/run.json")).recipe
    assert (recipe["policy"], recipe["augment"], recipe["compile"]) == ("strong", "gpu", "off")


def test_a_class_of_one_image_is_enough_where_nothing_is_held_out(command, place, tmp_path, capsys):
    folder = shutil.copytree(place / "colours", tmp_path / "few")
    for path in (folder / "train" / "red").iterdir():
        if path.name != "0.png":
            path.unlink()
    words = ["--preset", "tiny", "--data", str(folder)]
    assert command(*words) == 2
    assert "class number 2 has one training image" in capsys.readouterr().err
    assert command(*words, "--full") == 0


@pytest.mark.parametrize(
    "words",
    ["--preset huge", "--spec none.json", "--recipe none.json", "--model none.py", "--model wrong.py"],
)
def test_a_wrong_word_is_refused_before_images_are_loaded(command, monkeypatch, capsys, words):
    Path("wrong.py").write_text("from torch import nn\nmodel = nn.Sequential(\n")
    monkeypatch.setattr("training.data.registry.load", lambda *_, **__: pytest.fail("images were loaded"))
    assert command(*words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: error: ")
    assert words.split()[1] in error


@pytest.mark.parametrize("flag", ["--recipe", "--preset", "--model"])
def test_an_empty_word_is_no_default(command, capsys, flag):
    assert command(flag, "") == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: error: ")
    assert error.count("\n") == 1


def test_a_network_with_another_answer_in_training_is_one_line(command, tmp_path, capsys):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def forward(self, images):\n"
        "        answer = super().forward(images)\n"
        "        return (answer, answer) if self.training else answer\n"
        "model = Net(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))\n"
    )
    recipe = replace(RECIPES["fast"], batch_size=16, epochs=1)
    (tmp_path / "auto.json").write_text(json.dumps(recipe.to_json()))
    assert command("--model", "net.py", "--recipe", "auto.json") == 2
    assert "answers with tuple an image, but the data has 3 classes" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", '{"name": "x"}', '{"name": "x", "foo": 1}'])
def test_an_error_of_a_recipe_names_its_file(command, tmp_path, capsys, text):
    (tmp_path / "mine.json").write_text(text)
    assert command("--recipe", "mine.json") == 2
    assert capsys.readouterr().err.startswith("train.py: error: --recipe mine.json: ")
