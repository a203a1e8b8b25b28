import json
import os
import pickle
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch

import train
from records.run import RunRecord
from training.command.display import Display
from training.data import registry as datasets
from training.fit.checkpoint import load_weights


@pytest.fixture
def command(data, place, tmp_path, monkeypatch):
    """`command("--flag", ...)` trains `tiny` for two epochs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    recipe = json.loads((place / "recipe.json").read_text()) | {"epochs": 2}
    Path("recipe.json").write_text(json.dumps(recipe))

    def run(*words: str) -> int:
        given = [*data, "--preset", "tiny", "--recipe", "recipe.json", "--device", "cpu", "--name", "a"]
        return train.main([*given, "--deterministic", *words])

    return run


@pytest.fixture
def small_disk():
    """`small_disk(n)`: from now on no file can grow beyond n bytes, which a full disk looks like."""
    resource = pytest.importorskip("resource", reason="this system has no limit on the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_loses_no_earlier_checkpoint(
    command, small_disk, monkeypatch, capsys, finished, place
):
    show = Display.epoch

    def fill(self: Display, record) -> None:
        show(self, record)
        small_disk(100_000)

    with monkeypatch.context() as patched:
        patched.setattr(Display, "epoch", fill)
        assert command() == 2
    small_disk(1 << 40)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("train.py: error: runs/train/a: cannot be written (File too large)")
    assert error.endswith("its last checkpoint is kept: make room, then python train.py --resume --name a")
    hidden = {path.name for path in Path("runs/train/a").iterdir() if path.name.startswith(".")}
    assert hidden <= {".lock"}  # and no temporary file
    assert train.main(["--resume", "--name", "a"]) == 0
    resumed = load_weights(Path("runs/train/a/best.safetensors"))[0]
    recipe = place / "two.json"
    recipe.write_text(Path("recipe.json").read_text())
    unbroken = finished("unbroken", "--deterministic", "--recipe", "two.json")
    whole = load_weights(unbroken / "best.safetensors")[0]
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_a_disk_that_is_full_from_the_start_leaves_nothing(command, data, small_disk, capsys):
    datasets.load(data[1], cache=Path(data[3]))  # else the cache is what cannot be written
    small_disk(100)
    assert command() == 2
    small_disk(1 << 40)
    assert "cannot be written (File too large); nothing was kept" in capsys.readouterr().err
    assert not Path("runs/train/a").exists()


class _Trap:
    """Unpickling it would leave a file behind."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("sprung"),)


@pytest.fixture
def broken_off(command, monkeypatch) -> Path:
    """The folder of a run that was stopped after its first epoch."""

    def stop(self: Display, record) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Display, "epoch", stop)
        assert command() == 130
    return Path("runs/train/a")


def test_a_checkpoint_that_would_run_code_is_refused(broken_off, refused):
    before = (broken_off / "run.json").read_bytes()
    torch.save({"schema": 1, "state_dict": _Trap()}, broken_off / "last.pt")
    assert "holds more than weights and plain values; it is not opened" in refused("--resume", "--name", "a")
    (broken_off / "last.pt").write_bytes(pickle.dumps(_Trap()))
    refused("--resume", "--name", "a")
    assert not Path("sprung").exists()
    assert (broken_off / "run.json").read_bytes() == before


def test_a_truncated_checkpoint_gives_way_to_the_one_before(broken_off, refused, capsys):
    last = broken_off / "last.pt"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    assert "is truncated or not a checkpoint, and no earlier one can be used" in refused(
        "--resume", "--name", "a"
    )
    (broken_off / "last.previous.pt").write_bytes(whole)
    assert train.main(["--resume", "--name", "a"]) == 0
    assert "going on from the checkpoint before it" in capsys.readouterr().out
    assert RunRecord.read(broken_off / "run.json").finished


def test_a_checkpoint_of_another_network_is_refused(broken_off, refused, finished):
    shutil.copy(finished("full", "--full") / "last.pt", broken_off / "last.pt")
    line = refused("--resume", "--name", "a")
    assert "was written by a run with another" in line
    value = json.loads((broken_off / "run.json").read_text())
    value["settings"]["preset"] = "transposed"
    (broken_off / "run.json").write_text(json.dumps(value))
    assert "was written by a run with another network" in refused("--resume", "--name", "a")


def test_flags_that_would_change_a_run_are_refused_when_it_goes_on(broken_off, refused):
    line = refused("--resume", "--name", "a", "--epochs", "9")
    assert line == (
        "--epochs 9: the run 'a' was started without it; leave the flag out, or choose another --name"
    )
    assert "--from" in refused("--resume", "--name", "a", "--from", "runs/train/a")


def test_events_for_tensorboard_lie_in_the_folder(command, monkeypatch):
    """The package is optional: what stands in for it here keeps what is logged."""
    logged = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int) -> None:
            self._folder = folder

        def add_scalar(self, name: str, value: float, step: int) -> None:
            logged.append((os.path.relpath(self._folder), name, step))

        def flush(self) -> None: ...

        def close(self) -> None: ...

    module = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    assert command("--tensorboard") == 0
    assert ("runs/train/a/tensorboard", "accuracy/validation", 2) in logged
    assert {name for _, name, _ in logged} >= {"loss/train (augmented)", "loss/validation", "learning rate"}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--recipe", "unknown.json"], "recipe 'small': unknown key 'learning'; known are name, epochs"),
        (["--recipe", "warm.json"], "`0 <= warmup < 1 (a share of the run)` must hold, but got warmup=1.5"),
        (["--data", "lonely"], "lonely: only one class, cat; a classifier needs two or more"),
        (["--data", "hollow"], "hollow: no images in train/dog/"),
        (["--data", "few"], "class number 0 has one training image"),
        (
            ["--preset", "nothing"],
            "unknown; choose one of tiny, residual, residual-mcu, transposed, wide, cifar10_transpose",
        ),
        (["--teacher", "nothing"], "--teacher nothing: nothing is missing"),
    ],
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_leaves_nothing(command, refused, data, place, tmp_path, words, text):
    recipe = json.loads((place / "recipe.json").read_text())
    Path("unknown.json").write_text(json.dumps(recipe | {"learning": 1}))
    Path("warm.json").write_text(json.dumps(recipe | {"warmup": 1.5}))
    picture = next((Path(data[1]) / "train" / "red").iterdir())
    for name, counts in (
        ("lonely", {"cat": 2}),
        ("hollow", {"cat": 2, "dog": 0}),
        ("few", {"cat": 1, "dog": 1}),
    ):
        for split in ("train", "test"):
            for label, count in counts.items():
                (tmp_path / name / split / label).mkdir(parents=True)
                for index in range(count):
                    shutil.copy(picture, tmp_path / name / split / label / f"{index}.png")
    given = [*data, "--preset", "tiny", "--recipe", "recipe.json", "--device", "cpu", "--name", "a"]
    assert text in refused(*given, *words)
    assert not Path("runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(refused, data, tmp_path):
    line = refused(*data, "--device", "cuda", "--out", str(tmp_path / "runs"))
    assert line == "device 'cuda' is not available here; use --device cpu, or auto"
    assert list(tmp_path.iterdir()) == []
