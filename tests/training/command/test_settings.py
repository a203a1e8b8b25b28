"""`--set` and `--arg`: what they change, what run.json keeps of them, and that it survives."""

import json
import signal

import pytest

import train
from models.arithmetic import figures
from models.presets import PRESETS
from records.run import RunRecord
from training.command.display import Display
from training.command.trained import open_trained
from training.fit.recipe import Recipe

NET = """from torch import nn
class Net(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))
"""
SET = ("--set", "lr=0.05", "--set", "momentum=0.5")


def _rates(record: RunRecord) -> tuple[object, object]:
    return record.recipe["learning_rate"], record.recipe["momentum"]


def test_set_values_survive_a_break_and_cannot_change(data, place, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    words = [*data, "--preset", "tiny", "--recipe", str(place / "recipe.json"), "--device", "cpu"]
    words += ["--epochs", "2", "--name", "broken", *SET]
    with monkeypatch.context() as patch:
        patch.setattr(Display, "epoch", lambda self, record: signal.raise_signal(signal.SIGTERM))
        assert train.main(words) == 130
    resume = ("--resume", "--name", "broken")
    line = refused(*resume, "--set", "lr=0.1")
    assert line.startswith("--set lr=0.1: the run 'broken' was started with lr=0.05 momentum=0.5;")
    assert train.main(list(resume)) == 0
    record = RunRecord.read(tmp_path / "runs" / "train" / "broken" / "run.json")
    assert (record.finished, len(record.epochs), _rates(record)) == (True, 2, (0.05, 0.5))


def test_what_is_set_is_recorded_and_repeated(finished, place, tmp_path, monkeypatch, capsys):
    (place / "wide_net.py").write_text(NET)
    folder = finished("wide-net", "--model", "wide_net.py:Net", "--arg", "width=5", *SET)
    record = RunRecord.read(folder / "run.json")
    assert (record.params, record.settings.arguments) == (5 * 28 + 18, ("width=5",))
    assert (_rates(record), record.settings.changes) == ((0.05, 0.5), ("lr=0.05", "momentum=0.5"))
    monkeypatch.chdir(tmp_path)
    assert train.main(["--from", str(folder), "--name", "again"]) == 0
    out = capsys.readouterr().out
    assert "next  python -m reports runs/train/again  " in out
    assert "--predict IMAGE --weights runs/train/again --model wide_net.py:Net" in out
    again = RunRecord.read(tmp_path / "runs" / "train" / "again" / "run.json")
    assert (again.params, again.recipe) == (record.params, record.recipe)
    assert again.settings.arguments == record.settings.arguments
    assert again.settings.changes == record.settings.changes
    network = open_trained(folder, f"{place}/wide_net.py:Net").network
    assert sum(each.numel() for each in network.parameters()) == record.params


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--preset", "tiny", "--arg", "a=1"),
            "--arg a=1: tiny is built of a spec, which takes no arguments",
        ),
        (("--preset", "resnet8", "--arg", "a"), "--arg a: write name=value"),
        (("--set", "epochs=3", "--epochs", "5"), "--set epochs: --epochs is given, too"),
        (("--recipe", "fats"), "--recipe fats: unknown; did you mean fast?"),
    ],
)
def test_flags_that_cannot_be_met_are_refused_before_images_are_read(words, message, refused):
    assert refused(*words, "--data", "nowhere").startswith(message)


def test_the_printed_recipe_is_one_that_can_be_read(capsys):
    assert train.main(["--recipe", "standard", "--device", "cpu", *SET, "--print-recipe"]) == 0
    recipe = Recipe.from_json(json.loads(capsys.readouterr().out))
    assert (recipe.name, recipe.learning_rate, recipe.momentum) == ("standard", 0.05, 0.5)


def test_presets_are_listed_with_their_figures(capsys):
    assert train.main(["--list-presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.split()[:1] == ["tiny"]]
    facts = figures(PRESETS["tiny"])
    assert line.split()[3] == f"{facts.params:,}"
    assert line.split()[-1] == str(min(facts.receptive_field))
    assert any(line.split()[:1] == ["resnet20"] for line in lines)
