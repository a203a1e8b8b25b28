"""Class folders as people have them, through train.py: counts, unreadable images, classes of unequal size."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import train
from records.run import RunRecord


@pytest.fixture(scope="module")
def uneven(place, tmp_path_factory):
    """`colours` with 20, 10 and 5 training images, two more that cannot be read, and 6, 6 and 2 to test."""
    folder = tmp_path_factory.mktemp("uneven") / "set"
    shutil.copytree(place / "colours", folder)
    for split, name, first in (("train", "green", 10), ("train", "red", 5), ("test", "red", 2)):
        for path in (folder / split / name).glob("*.png"):
            if int(path.stem) >= first:
                path.unlink()
    (folder / "train" / "red" / "broken.jpg").write_bytes(b"hello")
    (folder / "test" / "blue" / "cut.png").write_bytes((place / "colours/test/blue/0.png").read_bytes()[:99])
    return folder


def trained(place, uneven, out, *words):
    return train.main(
        [
            *("--data", str(uneven), "--cache", str(out / "cache"), "--preset", "tiny", "--device", "cpu"),
            *("--recipe", str(place / "recipe.json"), "--out", str(out), "--name", "one", "--full", *words),
        ]
    )


def test_an_unreadable_image_ends_it_with_the_way_out(place, uneven, tmp_path, refused):
    line = refused("--data", str(uneven), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path))
    assert "cannot read the image" in line
    assert "--skip-unreadable" in line


def test_counts_and_what_was_left_out_are_on_the_screen_and_in_the_record(place, uneven, tmp_path, capsys):
    assert trained(place, uneven, tmp_path, "--skip-unreadable") == 0
    screen = capsys.readouterr().out
    assert "classes   blue 20, green 10, red 5 (always answering blue would be right for 57%)" in screen
    assert "left out  2 images that cannot be read, such as train/red/broken.jpg (not an image)" in screen
    assert "balanced accuracy " in screen
    record = RunRecord.read(tmp_path / "one" / "run.json")
    assert record.dataset.train_by_class == (20, 10, 5)
    assert [each.partition(" ")[0] for each in record.dataset.unreadable] == [
        "train/red/broken.jpg",
        "test/blue/cut.png",
    ]
    assert record.settings.skip_unreadable
    # Judged and repeated without the flag: the run's own settings hold.
    assert train.main(["--evaluate", str(tmp_path / "one"), "--device", "cpu"]) == 0
    screen = capsys.readouterr().out
    assert "balanced accuracy" in screen
    assert "as run.json says" in screen
    again = ["--from", str(tmp_path / "one"), "--out", str(tmp_path), "--name", "again", "--device", "cpu"]
    assert train.main(again) == 0
    assert "--skip-unreadable" in RunRecord.read(tmp_path / "again" / "run.json").command


@pytest.mark.parametrize("balance", ["loss", "sample"])
def test_balance_changes_the_training_and_is_in_the_recipe(place, uneven, tmp_path, balance):
    for name, words in (("plain", ()), ("balanced", ("--balance", balance))):
        assert trained(place, uneven, tmp_path, "--skip-unreadable", "--name", name, *words) == 0
    plain, other = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("plain", "balanced"))
    assert (plain["recipe"]["balance"], other["recipe"]["balance"]) == ("none", balance)
    assert plain["epochs"][0]["train_loss"] != other["epochs"][0]["train_loss"]


def test_a_photograph_of_a_phone_is_upright_in_the_data_set(tmp_path):
    from rich.console import Console

    from training.data.registry import load

    pixels = np.random.default_rng(0).integers(0, 255, (8, 12, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            Image.fromarray(np.rot90(pixels)).save(tmp_path / "set" / split / name / "0.png", exif=exif)
            Image.fromarray(pixels).save(tmp_path / "set" / split / name / "1.png")
    found = load(str(tmp_path / "set"), cache=tmp_path / "cache", console=Console(stderr=True))
    assert (found.train.images == pixels).all()
