"""train.py stopped, and gone on with."""

import json
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch

import train
from records.errors import UserError
from records.lock import locked
from records.run import RunRecord
from training.command.display import Display
from training.fit.checkpoint import load_weights


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_run_goes_on_and_ends_as_the_unbroken_one(command, monkeypatch, capsys, number):
    assert command("--name", "whole", "--epochs", "3", "--deterministic") == 0
    show = Display.epoch

    def stop(self: Display, record) -> None:
        show(self, record)
        if record.epoch == 2:
            signal.raise_signal(number)

    monkeypatch.setattr(Display, "epoch", stop)
    assert command("--name", "broken", "--epochs", "3", "--deterministic") == 130
    monkeypatch.setattr(Display, "epoch", show)
    assert not RunRecord.read(Path("runs/train/broken/run.json")).finished
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert "Continue with: python train.py --resume --name broken" in line
    words = shlex.split(line.partition("Continue with: python train.py ")[2])
    assert train.main(words) == 0
    whole, resumed = (RunRecord.read(Path(f"runs/train/{name}/run.json")) for name in ("whole", "broken"))
    assert [each.train_loss for each in resumed.epochs] == [each.train_loss for each in whole.epochs]
    assert resumed.val_accuracy == whole.val_accuracy
    assert Path("runs/train/broken/best.safetensors").read_bytes() != b""
    first, second = (
        load_weights(Path(f"runs/train/{name}/best.safetensors"))[0] for name in ("whole", "broken")
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_run_stopped_within_an_epoch_goes_on_at_that_step(command, monkeypatch, capsys):
    value = json.loads(Path("recipe.json").read_text())
    Path("recipe.json").write_text(json.dumps(value | {"batch_size": 4, "epochs": 1}))
    assert command("--name", "whole", "--deterministic") == 0
    seen = []

    def stop(self: Display, progress) -> None:
        seen.append((progress.epoch, progress.step))
        if len(seen) == 2:
            assert progress.step < progress.steps
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Display, "step", stop)
        assert command("--name", "broken", "--deterministic") == 130
        assert "what was trained is kept" in capsys.readouterr().out
        assert RunRecord.read(Path("runs/train/broken/run.json")).epochs == ()
        stopped_at = seen[-1]
        assert train.main(["--resume", "--name", "broken"]) == 0
    assert seen[2] > stopped_at
    first, second = (
        load_weights(Path(f"runs/train/{name}/best.safetensors"))[0] for name in ("whole", "broken")
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_second_signal_ends_the_run_at_once(command, monkeypatch, capsys):
    def stop(self: Display, progress) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second signal was passed over")

    monkeypatch.setattr(Display, "step", stop)
    # What a terminal gives; a job that a shell started in the background ignores Ctrl-C from birth.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert command("--name", "a") == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopped before anything was trained; nothing was kept" in capsys.readouterr().out
    assert not Path("runs/train/a").exists()


def test_a_model_file_that_changed_is_not_resumed(given, monkeypatch, capsys):
    layers = "nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)"
    text = f"from torch import nn\nmodel = nn.Sequential({layers})\n"
    Path("net.py").write_text(text)

    def stop(self: Display, record) -> None:
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Display, "epoch", stop)
        assert train.main([*given, "--recipe", "recipe.json", "--model", "net.py", "--name", "a"]) == 130
    kept = Path("runs/train/a/run.json").read_bytes()
    Path("net.py").write_text(
        text + "import pathlib\npathlib.Path('sprung').touch()\n"
        "model.register_forward_pre_hook(lambda module, inputs: (-inputs[0],))\n"
    )
    assert train.main(["--resume", "--name", "a"]) == 2
    assert "train.py: error: net.py: is not what 'a' was started with" in capsys.readouterr().err
    assert not Path("sprung").exists()  # it was compared before it was run
    assert Path("runs/train/a/run.json").read_bytes() == kept
    Path("net.py").write_text(text)
    assert train.main(["--resume", "--name", "a"]) == 0


@pytest.fixture
def stopped_target(given, monkeypatch) -> Path:
    """The folder of a run of `package.inner:model` that was stopped after its first epoch."""
    layers = "nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)"
    Path("package").mkdir()
    Path("package/__init__.py").write_text("")
    Path("package/inner.py").write_text(f"from torch import nn\nmodel = nn.Sequential({layers})\n")
    monkeypatch.syspath_prepend(Path.cwd())

    def stop(self: Display, record) -> None:
        signal.raise_signal(signal.SIGTERM)

    words = [*given, "--recipe", "recipe.json", "--device", "cpu", "--model", "package.inner", "--name", "a"]
    with monkeypatch.context() as patched:
        patched.setattr(Display, "epoch", stop)
        assert train.main(words) == 130
    for name in ("package", "package.inner"):
        sys.modules.pop(name, None)
    return Path("runs/train/a")


def test_a_module_that_changed_is_not_imported_and_neither_is_its_package(stopped_target, capsys):
    kept = Path("package/inner.py").read_text()
    Path("package/inner.py").write_text(kept + "pass\n")
    Path("package/__init__.py").write_text("import pathlib\npathlib.Path('sprung').touch()\n")
    assert train.main(["--resume", "--name", "a"]) == 2
    assert "package.inner: is not what 'a' was started with" in capsys.readouterr().err
    assert not Path("sprung").exists()
    Path("package/inner.py").write_text(kept)
    assert train.main(["--resume", "--name", "a"]) == 0


def test_a_file_that_the_record_slips_in_is_not_run(stopped_target, capsys):
    """The text belongs to one file, the settings name another one."""
    Path("other.py").write_text("import pathlib\npathlib.Path('sprung').touch()\n")
    value = json.loads((stopped_target / "run.json").read_text())
    value["settings"]["model"] = "other.py"
    (stopped_target / "run.json").write_text(json.dumps(value))
    assert train.main(["--resume", "--name", "a"]) == 2
    assert "other.py: is not what 'a' was started with" in capsys.readouterr().err
    assert not Path("sprung").exists()


def test_a_file_whose_text_was_not_kept_must_be_named(stopped_target, capsys):
    value = json.loads((stopped_target / "run.json").read_text())
    (stopped_target / "run.json").write_text(json.dumps(value | {"source": None}))
    assert train.main(["--resume", "--name", "a"]) == 2
    assert "name it yourself with --model package.inner" in capsys.readouterr().err
    assert train.main(["--resume", "--name", "a", "--model", "package.inner"]) == 0


def test_two_processes_cannot_train_the_same_run(stopped_target, capsys):
    with locked(stopped_target / ".lock", UserError("taken")):
        assert train.main(["--resume", "--name", "a"]) == 2
    assert "runs/train/a: another process is training this run" in capsys.readouterr().err
    (stopped_target / ".last-7-0123abcd.pt").touch()  # of a writer that was killed
    assert train.main(["--resume", "--name", "a"]) == 0
    assert not (stopped_target / ".last-7-0123abcd.pt").exists()


def test_a_resume_that_is_refused_leaves_the_record_as_it_is(command, data, monkeypatch, capsys, tmp_path):
    images = shutil.copytree(data, tmp_path / "images")

    def stop(self: Display, record) -> None:
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Display, "epoch", stop)
        assert command("--name", "a", "--data", str(images)) == 130
    kept = Path("runs/train/a/run.json").read_bytes()
    next((images / "train").glob("*/*")).unlink()
    assert train.main(["--resume", "--name", "a"]) == 2
    assert "another training images" in capsys.readouterr().err
    assert Path("runs/train/a/run.json").read_bytes() == kept


def test_resume_of_a_finished_run_changes_nothing(command, capsys):
    assert command("--name", "a", "--epochs", "1") == 0
    before = Path("runs/train/a/run.json").read_bytes()
    assert train.main(["--resume"]) == 0
    assert "this run is finished, nothing is left to resume" in capsys.readouterr().out
    assert Path("runs/train/a/run.json").read_bytes() == before


def test_resume_with_nothing_there_starts_afresh_and_says_so(command, capsys):
    assert command("--name", "new", "--resume", "--epochs", "1") == 0
    assert "nothing to resume in runs/train/new; starting afresh" in capsys.readouterr().out
    assert RunRecord.read(Path("runs/train/new/run.json")).finished


def test_a_name_that_exists_offers_resume_and_is_left_alone(command, capsys):
    Path("runs/train/a").mkdir(parents=True)
    assert command("--name", "a") == 2
    assert (
        "runs/train/a exists; continue it with --resume, or choose another --name" in capsys.readouterr().err
    )
    assert not list(Path("runs/train/a").iterdir())
