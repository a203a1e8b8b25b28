import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train
from models.net import build
from models.spec import NetSpec
from records.run import RunRecord
from training.checkpoint import load_weights
from training.display import Display
from training.recipe import RECIPES

ROOT = Path(__file__).resolve().parent.parent
FILES = {
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


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder of 3 classes of noise about a colour, 32x32: 40 images a class to train, 10 to test."""
    folder = tmp_path_factory.mktemp("data") / "colours"
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 10)):
        for number, name in enumerate(("blue", "green", "red")):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.normal(100, 40, (32, 32, 3))
                pixels[..., number] += 60
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / split / name / f"{index}.png")
    return folder


@pytest.fixture
def command(data, tmp_path, monkeypatch):
    """`command("--flag", ...)` runs train.py on the little data set, from an empty folder."""
    monkeypatch.chdir(tmp_path)
    recipe = replace(RECIPES["fast"], name="small", epochs=2, batch_size=16, precision="float32")
    recipe = replace(recipe, layout="channels_last")
    Path("recipe.json").write_text(json.dumps(recipe.to_json()))

    def run(*words: str) -> int:
        given = ["--data", str(data), "--cache", str(data.parent / "cache"), "--recipe", "recipe.json"]
        return train.main([*given, "--preset", "tiny", "--device", "cpu", *words])

    return run


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


def test_a_model_file_that_changed_is_not_resumed(command, monkeypatch, capsys):
    layers = "nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)"
    text = f"from torch import nn\nmodel = nn.Sequential({layers})\n"
    Path("net.py").write_text(text)

    def stop(self: Display, record) -> None:
        signal.raise_signal(signal.SIGTERM)

    given = shlex.split(_given(command))
    with monkeypatch.context() as patched:
        patched.setattr(Display, "epoch", stop)
        assert train.main([*given, "--recipe", "recipe.json", "--model", "net.py", "--name", "a"]) == 130
    kept = Path("runs/train/a/run.json").read_bytes()
    Path("net.py").write_text(
        text + "model.register_forward_pre_hook(lambda module, inputs: (-inputs[0],))\n"
    )
    assert train.main(["--resume", "--name", "a"]) == 2
    assert "train.py: error: net.py: is not what 'a' was started with" in capsys.readouterr().err
    assert Path("runs/train/a/run.json").read_bytes() == kept
    Path("net.py").write_text(text)
    assert train.main(["--resume", "--name", "a"]) == 0


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


def test_what_lay_in_the_folder_before_survives_a_failure(command, capsys):
    Path("runs/train/mine").mkdir(parents=True)
    Path("runs/train/mine/notes.txt").write_text("keep me")
    assert command("--name", "mine", "--resume", "--subset", "6") == 2
    assert "fewer than one batch" in capsys.readouterr().err
    assert Path("runs/train/mine/notes.txt").read_text() == "keep me"


def test_any_network_from_a_file_is_trained(command):
    Path("net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),\n"
        "                         nn.Flatten(), nn.Linear(8, 3))\n"
    )
    words = ["--recipe", "recipe.json", "--epochs", "1", "--name", "own", "--device", "cpu"]
    data = shlex.split(_given(command))
    assert train.main([*data, *words, "--model", "net.py:Net"]) == 0
    record = RunRecord.read(Path("runs/train/own/run.json"))
    assert (record.target, record.spec) == ("net.py:Net", None)
    assert record.source == Path("net.py").read_text()
    assert record.params == 5 * 5 * 3 * 8 + 8 + 8 * 3 + 3


def _given(command) -> str:
    data = next(cell.cell_contents for cell in command.__closure__ if isinstance(cell.cell_contents, Path))
    return shlex.join(["--data", str(data), "--cache", str(data.parent / "cache")])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--preset", "huge"], "--preset huge: unknown; choose one of tiny"),
        (
            ["--recipe", "slow"],
            "--recipe slow: unknown; choose one of fast, standard, record, or a recipe.json",
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
def test_a_file_that_holds_no_spec_is_one_line(command, capsys, content, text):
    if content is not None:
        Path("net.json").write_text(content)
    given = shlex.split(_given(command))
    assert train.main([*given, "--recipe", "recipe.json", "--spec", "net.json", "--name", "a"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(f"train.py: error: --spec net.json: {text}")]
    assert not Path("runs/train/a").exists()


def test_a_network_with_other_classes_is_refused(command, capsys):
    Path("net.py").write_text(
        "from torch import nn\n"
        "model = nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    given = shlex.split(_given(command))
    assert train.main([*given, "--recipe", "recipe.json", "--model", "net.py", "--name", "a"]) == 2
    assert "answers with shape (10,) an image, but the data has 3 classes" in capsys.readouterr().err
    assert not Path("runs/train/a").exists()


def test_a_run_that_fails_before_its_first_epoch_leaves_no_folder(command, capsys):
    value = json.loads(Path("recipe.json").read_text())
    value |= {"learning_rate": 1000, "warmup": 0.0, "optimizer": "sgd", "precision": "float32"}
    Path("recipe.json").write_text(json.dumps(value))
    Path("net.py").write_text(
        "from torch import nn\nlayers = [nn.Flatten(), nn.Linear(3072, 64)] + [nn.Linear(64, 64)] * 9\n"
        "model = nn.Sequential(*layers, nn.Linear(64, 3))\n"
    )
    given = shlex.split(_given(command))
    assert train.main([*given, "--recipe", "recipe.json", "--model", "net.py", "--name", "a"]) == 2
    assert "the loss became" in capsys.readouterr().err
    assert not Path("runs/train/a").exists()
