"""Run folders that commit 7dd195b wrote: run.json of schema 1, which kept the settings as a command line."""

import json
import shutil
from pathlib import Path

import pytest

import train
from records.run import RunRecord
from records.settings import RunSettings

STOPPED = Path(__file__).parent / "stopped_by_7dd195b"
"""`train.py --data shapes --model net.py --subset 500 --epochs 2`, stopped after its first epoch."""
SETTINGS = RunSettings(model="net.py", data="shapes", cache="my cache", subset=500, epochs=2, device="cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A copy of the folder, at its place below an empty working directory that has its model file."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(STOPPED, "runs/train/old")
    source = json.loads((STOPPED / "run.json").read_text())["source"]
    Path("net.py").write_text(source)
    return Path("runs/train/old")


@pytest.mark.slow
def test_it_is_resumed_repeated_and_evaluated(folder, capsys):
    assert train.main(["--resume", "--name", "old"]) == 0
    record = RunRecord.read(folder / "run.json")
    assert record.finished
    assert record.settings == SETTINGS
    before = json.loads((STOPPED / "run.json").read_text())
    assert (record.command, record.started) == (before["command"], before["started"])
    assert [epoch.epoch for epoch in record.epochs] == [1, 2]
    assert json.loads((folder / "run.json").read_text())["schema"] == 2

    # The whole from its beginning ends as what was stopped by one version and continued by another.
    shutil.copy(STOPPED / "run.json", "then.json")
    assert train.main(["--from", "then.json", "--name", "again"]) == 0
    again = RunRecord.read(Path("runs/train/again/run.json"))
    assert [epoch.train_loss for epoch in again.epochs] == pytest.approx(
        [epoch.train_loss for epoch in record.epochs], rel=1e-3
    )

    capsys.readouterr()
    assert train.main(["--evaluate", str(folder), "--model", "net.py"]) == 0
    assert "as run.json says" in capsys.readouterr().out


def test_a_model_file_that_changed_since_is_not_run(folder, capsys):
    with Path("net.py").open("a") as file:
        file.write("import pathlib\npathlib.Path('sprung').touch()\n")
    assert train.main(["--resume", "--name", "old"]) == 2
    assert "net.py: is not what 'broken_target' was started with" in capsys.readouterr().err
    assert not Path("sprung").exists()


def test_flags_that_contradict_its_command_line_are_refused(folder, capsys):
    assert train.main(["--resume", "--name", "old", "--subset", "400"]) == 2
    assert "--subset 400: the run 'broken_target' was started with 500" in capsys.readouterr().err
