import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import train
from records.run import RunRecord
from training.command.display import Display
from training.command.repeat import differences
from training.fit.checkpoint import load_weights

NET = (
    "from torch import nn\n"
    "model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))\n"
)


@pytest.fixture
def again(tmp_path, monkeypatch):
    """`again(folder, "--flag", ...)` repeats a run in an empty folder and returns its record and weights."""
    monkeypatch.chdir(tmp_path)

    def run(folder, *words: str):
        assert train.main(["--from", str(folder), "--name", "again", *words]) == 0
        here = tmp_path / "runs" / "train" / "again"
        return RunRecord.read(here / "run.json"), load_weights(here / "best.safetensors")[0]

    return run


def _same(weights: dict[str, torch.Tensor], folder) -> bool:
    before = load_weights(folder / "best.safetensors")[0]
    return all(torch.equal(value, weights[name]) for name, value in before.items())


@pytest.mark.slow
def test_a_repeated_run_ends_with_the_same_bits(finished, again, capsys):
    words = ("--deterministic", "--seed", "7", "--subset", "40", "--policy", "none")
    folder = finished("exact", *words)
    # What defines the run stands in run.json: the recipe's file is not there.
    record, weights = again(folder / "run.json")
    before = RunRecord.read(folder / "run.json")
    assert _same(weights, folder)
    assert (record.recipe, record.seed, record.spec) == (before.recipe, before.seed, before.spec)
    assert (record.dataset, record.val_accuracy) == (before.dataset, before.val_accuracy)
    out = capsys.readouterr().out
    assert f"repeats   exact of {before.started}" in out
    assert f"the run that was repeated: validation accuracy {before.val_accuracy:.2%}" in out


def test_another_seed_gives_another_run_and_that_is_said(finished, again, capsys):
    folder = finished("full", "--full")
    record, weights = again(folder, "--seed", "5")
    assert not _same(weights, folder)
    assert record.dataset.validation_images == 0
    assert record.test_accuracy is not None
    assert "differs   seed: 5, then 0" in capsys.readouterr().out


def test_a_network_whose_file_has_changed_comes_from_the_record(finished, again, place, monkeypatch, capsys):
    (place / "changing.py").write_text(NET)
    folder = finished("changing", "--model", "changing.py", "--deterministic")
    (place / "changing.py").write_text(NET.replace("3, 4, 3", "3, 4, 5"))
    record, weights = again(folder)
    assert _same(weights, folder)
    assert (record.target, record.source) == ("changing.py", NET)
    assert "the network comes from the text in run.json" in capsys.readouterr().out


@pytest.fixture
def broken_again(finished, place, tmp_path, monkeypatch) -> Callable[..., None]:
    """`broken_again(folder, ...)` repeats a run of two epochs as "again" and stops it after the first."""
    monkeypatch.chdir(tmp_path)

    def stop(self: Display, record) -> None:
        signal.raise_signal(signal.SIGTERM)

    def run(folder, *words: str) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Display, "epoch", stop)
            assert train.main(["--from", str(folder), "--name", "again", *words]) == 130

    return run


def test_a_stopped_repetition_goes_on_without_the_run_that_it_repeats(
    finished, broken_again, tmp_path, capsys
):
    folder = finished("two", "--epochs", "2", "--deterministic")
    moved = shutil.copytree(folder, tmp_path / "moved")
    broken_again(moved)
    shutil.rmtree(moved)
    assert train.main(["--resume"]) == 0
    again = tmp_path / "runs" / "train" / "again"
    assert _same(load_weights(again / "best.safetensors")[0], folder)
    assert RunRecord.read(again / "run.json").settings.deterministic


def test_a_stopped_repetition_runs_the_text_of_a_file_only_where_the_run_is_named(
    finished, broken_again, place, monkeypatch, refused
):
    (place / "moving.py").write_text(NET)
    folder = finished("moving", "--model", "moving.py", "--epochs", "2", "--deterministic")
    (place / "moving.py").unlink()
    broken_again(folder)
    assert "moving.py: is not what 'again' was started with" in refused("--resume")
    assert train.main(["--resume", "--name", "again", "--from", str(folder)]) == 0


def test_other_images_are_no_repetition_unless_they_are_named(
    finished, data, again, refused, tmp_path, capsys
):
    folder = shutil.copytree(finished("held"), tmp_path / "held")
    other = shutil.copytree(data[1], tmp_path / "other")
    (other / "train" / "red" / "0.png").unlink()
    value = json.loads((folder / "run.json").read_text())
    value["settings"]["data"] = str(other)
    (folder / "run.json").write_text(json.dumps(value))
    assert "name the images with --data" in refused("--from", str(folder), "--name", "again")
    assert not (tmp_path / "runs").exists()
    again(folder, "--data", str(other))
    assert "differs   images: other (folder of images), then colours" in capsys.readouterr().out


@pytest.mark.slow
def test_a_repetition_can_be_repeated(finished, data, place, again, tmp_path):
    """What it took over from the first run stands in its own record."""
    archive = shutil.make_archive(str(tmp_path / "colours"), "zip", data[1])
    words = ("--data", archive, "--resize", "24", "--deterministic", "--subset", "32", "--policy", "none")
    folder = finished("small", *words)
    again(folder)
    first = (tmp_path / "runs" / "train" / "again").rename(tmp_path / "first")
    assert "--resize 24" in RunRecord.read(first / "run.json").command
    record, weights = again(first)
    assert record.dataset.image_size == (24, 24)
    assert "--deterministic" in record.command
    assert _same(weights, folder)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"settings": None}, "does not know its settings"),
        (
            {"settings": None, "schema": 1, "command": "python train.py --data 'x"},
            "field 'command' of its run.json is no command line",
        ),
        ({"settings": {"subset": 0}}, "field 'settings.subset' must be a whole number from 1 to 2147483647"),
        ({"seed": -1}, "field 'seed' must be a whole number from 0 to 9223372036854775807, got -1"),
        ({"seed": 2**70}, "got 1180591620717411303424"),
        ({"seconds": 10**400}, "field 'seconds' must be a number below 1e308"),
        ({"spec": None, "source": None, "target": "a\0b.py"}, r"a\x00b.py"),
    ],
    ids=["settings", "command", "subset", "negative", "large", "seconds", "nul"],
)
def test_a_record_from_elsewhere_is_one_line(finished, data, refused, tmp_path, change, text):
    folder = shutil.copytree(finished("held"), tmp_path / "held")
    value = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(value | change))
    words = ["--from", str(folder), "--data", data[1], "--out", str(tmp_path / "runs")]
    assert text in refused(*words)
    assert not (tmp_path / "runs").exists()


def test_a_target_from_elsewhere_writes_nothing_outside(finished, data, refused, tmp_path):
    """Its code is run, as documented; but no file of the user's is written over."""
    folder = shutil.copytree(finished("held"), tmp_path / "held")
    victim = tmp_path / "victim.py"
    victim.write_text("mine")
    value = json.loads((folder / "run.json").read_text())
    value |= {"spec": None, "source": NET, "target": f"x./../../../../../../../..{victim.with_suffix('')}"}
    (folder / "run.json").write_text(json.dumps(value))
    assert train.main(["--from", str(folder), "--out", str(tmp_path / "runs"), *data]) == 0
    assert victim.read_text() == "mine"


def test_a_record_that_cannot_be_read_is_one_line(refused, tmp_path):
    (tmp_path / "run.json").write_text("{")
    assert "run.json: is not complete JSON" in refused("--from", str(tmp_path))
    assert "cannot be read (No such file or directory)" in refused("--from", str(tmp_path / "x.json"))


def test_every_difference_is_named_once(finished):
    now = RunRecord.read(finished("held") / "run.json")
    clean = replace(now, environment=replace(now.environment, git_commit="a" * 40, git_dirty=False))
    assert differences(clean, clean) == ()
    place = clean.environment
    before = replace(
        clean,
        params=1,
        seed=9,
        environment=replace(
            place,
            versions={**place.versions, "torch": "1.0", "gone": "2"},
            git_commit="b" * 40,
            threads=64,
            hardware="an abacus",
        ),
        dataset=replace(clean.dataset, train_images=3),
    )
    found = differences(before, clean)
    assert [line.partition(":")[0] for line in found] == [
        "training images",
        "seed",
        "network",
        "gone",
        "torch",
        "code",
        "hardware",
        "threads",
    ]
    assert "code: commit aaaaaaaaa, then commit bbbbbbbbb" in found
