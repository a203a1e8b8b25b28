from pathlib import Path

import numpy as np
from PIL import Image

import train
from training.command.sheet import COLUMNS, augmented, examples
from training.data import registry as datasets


def test_the_sheet_is_a_picture_written_where_output_says(data, tmp_path, capsys):
    path = tmp_path / "sheet.png"
    assert train.main(["--show-augmentation", *data, "--policy", "strong", "--output", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"wrote {path}: 3 training images of colours" in out
    assert f"each with {COLUMNS} forms under policy strong" in out
    with Image.open(path) as picture:
        assert picture.width > 3 * picture.height / 2  # 3 rows of 10
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 100


def test_the_forms_are_those_of_the_policy(data):
    dataset = datasets.load(data[1], cache=Path(data[3]))
    originals, names = examples(dataset, seed=1)
    assert names == ("blue", "green", "red")
    # Blue images have most blue: the rows are the classes that they are called by.
    assert originals.mean(axis=(1, 2)).argmax(axis=1).tolist() == [2, 1, 0]
    same = augmented(dataset, originals, "none", seed=1)
    assert np.array_equal(same, np.repeat(originals[:, None], COLUMNS, axis=1))
    strong = augmented(dataset, originals, "strong", seed=1)
    assert len(np.unique(strong.reshape(3 * COLUMNS, -1), axis=0)) == 3 * COLUMNS
    assert np.array_equal(strong, augmented(dataset, originals, "strong", seed=1))


def test_a_wrong_policy_or_suffix_is_one_line_and_leaves_nothing(data, refused, tmp_path):
    path = tmp_path / "sheet.png"
    assert "policy='wild'" in refused("--show-augmentation", *data, "--policy", "wild", "--output", str(path))
    assert "--output sheet.txt: must end in .png, .svg or .pdf" in refused(
        "--show-augmentation", *data, "--output", "sheet.txt"
    )
    assert list(tmp_path.iterdir()) == []


def test_without_albumentations_it_says_so(data, refused, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = refused("--show-augmentation", *data, "--output", str(tmp_path / "sheet.png"))
    assert line == "--show-augmentation needs albumentations, which is not installed"
