"""train.py from its first line to the folder that it leaves."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train
from models.net import build
from models.spec import NetSpec
from records.run import RunRecord
from training.fit.checkpoint import load_weights

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    ".lock",
    "run.json",
    "last.pt",
    "last.previous.pt",
    "best.safetensors",
    "predictions.npz",
    "curves.png",
    "confusion.png",
    "mistakes.png",
    "model.py",
}


def test_help_and_wrong_flags_answer_without_torch():
    code = (
        "import sys, train\n"
        "try: train.main(['--epochs', '0'])\n"
        "except SystemExit as leave: print(leave.code, 'torch' in sys.modules, 'rich' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["2", "False", "False"]
    assert result.stderr == (
        "train.py: error: argument --epochs: must be at least 1, got 0 (--help lists the flags)\n"
    )


def test_a_run_leaves_its_whole_folder(command, capsys):
    assert command("--name", "a", "--seed", "4") == 0
    folder = Path("runs/train/a")
    assert {path.name for path in folder.iterdir()} == FILES
    record = RunRecord.read(folder / "run.json")
    assert record.finished
    assert record.network == "tiny"
    assert (record.dataset.train_images, record.dataset.validation_images) == (108, 12)
    assert record.test_accuracy is None
    assert record.val_accuracy == record.epochs[-1].val_accuracy
    assert record.seed == 4
    assert len(record.epochs) == record.recipe["epochs"] == 2
    assert record.receptive_field >= (53, 53)
    assert record.seconds > 0
    out = capsys.readouterr().out
    assert "limits of" in out
    assert f"validation accuracy {record.val_accuracy:.2%} on 12 images" in out


def test_the_saved_weights_are_the_network_that_was_judged(command):
    assert command("--name", "a", "--epochs", "1") == 0
    folder = Path("runs/train/a")
    tensors, metadata = load_weights(folder / "best.safetensors")
    spec = NetSpec.from_json(metadata["spec"])
    assert spec.classes == len(metadata["classes"]) == 3
    model = build(spec).eval()
    model.load_state_dict(tensors)
    assert sum(each.numel() for each in model.parameters()) == RunRecord.read(folder / "run.json").params
    predictions = np.load(folder / "predictions.npz", allow_pickle=False)
    assert predictions["classes"].tolist() == metadata["classes"] == ["blue", "green", "red"]
    assert str(predictions["split"]) == "validation"
    accuracy = (predictions["labels"] == predictions["predictions"]).mean()
    assert accuracy == RunRecord.read(folder / "run.json").val_accuracy


def test_full_trains_on_everything_and_meets_the_test_images(command, data):
    assert command("--name", "a", "--full") == 0
    record = RunRecord.read(Path("runs/train/a/run.json"))
    assert (record.dataset.train_images, record.dataset.validation_images) == (120, 0)
    assert record.val_accuracy is None
    assert all(epoch.val_accuracy is None for epoch in record.epochs)
    assert record.confusion is not None
    assert sum(map(sum, record.confusion)) == record.dataset.test_images == 30
    # An independent reading of the test images, with the weights as a stranger would load them.
    tensors, metadata = load_weights(Path("runs/train/a/best.safetensors"))
    model = build(NetSpec.from_json(metadata["spec"])).eval()
    model.load_state_dict(tensors)
    right = 0
    for label, name in enumerate(metadata["classes"]):
        for path in sorted((data / "test" / name).iterdir()):
            pixels = torch.from_numpy(np.asarray(Image.open(path)).copy()).float()
            mean, std = (torch.tensor(metadata["normalisation"][key]) for key in ("mean", "std"))
            with torch.no_grad():
                right += int(model(((pixels - mean) / std).permute(2, 0, 1)[None]).argmax() == label)
    assert record.test_accuracy == right / 30


@pytest.mark.slow
def test_the_documented_lines_load_the_weights_into_the_standalone_file(command):
    assert command("--name", "a", "--epochs", "1") == 0
    found = []
    for document in ("README.md", "docs/training.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        found += [block for block in blocks if 'load_file("best.safetensors")' in block]
    assert found
    for code in found:
        check = "\nprint(sum(value.double().sum().item() for value in model.state_dict().values()))"
        done = subprocess.run(
            [sys.executable, "-c", code + check],
            cwd="runs/train/a",
            capture_output=True,
            text=True,
            check=True,
        )
        weights = load_weights(Path("runs/train/a/best.safetensors"))[0]
        assert float(done.stdout) == sum(value.double().sum().item() for value in weights.values())


def test_any_network_from_a_file_is_trained(given):
    Path("net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),\n"
        "                         nn.Flatten(), nn.Linear(8, 3))\n"
    )
    words = ["--recipe", "recipe.json", "--epochs", "1", "--name", "own", "--device", "cpu"]
    assert train.main([*given, *words, "--model", "net.py:Net"]) == 0
    record = RunRecord.read(Path("runs/train/own/run.json"))
    assert (record.target, record.spec) == ("net.py:Net", None)
    assert record.source == Path("net.py").read_text()
    assert record.params == 5 * 5 * 3 * 8 + 8 + 8 * 3 + 3
