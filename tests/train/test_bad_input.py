"""train.py given what it cannot use."""

import json
from pathlib import Path

import pytest

import train


def test_what_lay_in_the_folder_before_survives_a_failure(command, capsys):
    Path("runs/train/mine").mkdir(parents=True)
    Path("runs/train/mine/notes.txt").write_text("keep me")
    assert command("--name", "mine", "--resume", "--subset", "6") == 2
    assert "fewer than one batch" in capsys.readouterr().err
    assert Path("runs/train/mine/notes.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--preset", "huge"], "--preset huge: unknown; choose one of tiny"),
        (
            ["--recipe", "slow"],
            "--recipe slow: unknown; choose one of fast, standard, record, transfer, published-transpose, "
            "published-dilated, or a recipe.json",
        ),
        (["--recipe", "none.json"], "--recipe none.json: cannot be read (No such file or directory)"),
        (["--recipe", "bad.json"], "`0 < learning_rate <= 1000` must hold, but got learning_rate=-1"),
        (["--recipe", "text.json"], "--recipe text.json: is not JSON"),
        (["--policy", "wild"], "policy='wild'"),
        (["--subset", "2"], "a subset of 2 images cannot hold all 3 classes"),
        (["--subset", "6"], "6 training images are fewer than one batch of 16"),
        (["--data", "nowhere"], "--data nowhere"),
        (["--out", "recipe.json"], "--out recipe.json: cannot be written"),
    ],
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_leaves_nothing(command, capsys, words, text):
    bad = {**json.loads(Path("recipe.json").read_text()), "learning_rate": -1}
    Path("bad.json").write_text(json.dumps(bad))
    Path("text.json").write_text("{")
    assert command("--name", "a", *words) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("train.py: error:")]
    assert len(lines) == 1
    assert text in lines[0]
    assert "Traceback" not in error
    assert not Path("runs/train/a").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{", "is not JSON"),
        ('{"name": "a"}', "spec: has no 'schema', so it is no network spec"),
    ],
)
def test_a_file_that_holds_no_spec_is_one_line(given, capsys, content, text):
    if content is not None:
        Path("net.json").write_text(content)
    assert train.main([*given, "--recipe", "recipe.json", "--spec", "net.json", "--name", "a"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(f"train.py: error: --spec net.json: {text}")]
    assert not Path("runs/train/a").exists()


def test_a_network_with_other_classes_is_refused(given, capsys):
    Path("net.py").write_text(
        "from torch import nn\n"
        "model = nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    assert train.main([*given, "--recipe", "recipe.json", "--model", "net.py", "--name", "a"]) == 2
    assert "answers with shape (10,) an image, but the data has 3 classes" in capsys.readouterr().err
    assert not Path("runs/train/a").exists()


def test_a_run_that_fails_before_its_first_epoch_leaves_no_folder(given, capsys):
    value = json.loads(Path("recipe.json").read_text())
    value |= {"learning_rate": 1000, "warmup": 0.0, "optimizer": "sgd", "precision": "float32"}
    Path("recipe.json").write_text(json.dumps(value))
    Path("net.py").write_text(
        "from torch import nn\nlayers = [nn.Flatten(), nn.Linear(3072, 64)] + [nn.Linear(64, 64)] * 9\n"
        "model = nn.Sequential(*layers, nn.Linear(64, 3))\n"
    )
    assert train.main([*given, "--recipe", "recipe.json", "--model", "net.py", "--name", "a"]) == 2
    assert "the loss became" in capsys.readouterr().err
    assert not Path("runs/train/a").exists()
