import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import train
from models.net import build
from models.presets import PRESETS
from records.run import RunRecord
from records.settings import RunSettings
from training.command.images import origin
from training.command.judge import per_class_table
from training.data import registry as datasets
from training.data.samples import Samples
from training.fit.checkpoint import load_weights, save_weights
from training.fit.evaluate import Evaluation, evaluate
from training.fit.weights import load_network


def test_a_run_is_judged_on_the_images_that_it_reports(finished, capsys):
    folder = finished("held")
    said = RunRecord.read(folder / "run.json").val_accuracy
    assert train.main(["--evaluate", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "6 validation images of colours (folder of images), held out of training" in out
    assert f"validation accuracy {said:.2%} on 6 images" in out
    assert "\nas run.json says\n" in out
    assert "test accuracy" not in out
    assert "augmentation" not in out
    assert out.splitlines()[-1].startswith(f"next  python train.py --predict IMAGE --weights {folder}  # ")


def test_the_test_images_are_looked_at_when_they_are_asked_for(finished, data, capsys):
    folder = finished("held")
    assert train.main(["--evaluate", str(folder), "--split", "test", "--tta"]) == 0
    out = capsys.readouterr().out
    # Again, without the command: the network from its spec, the images from their files.
    dataset = datasets.load(data[1], cache=Path(data[3]))
    model = build(replace(PRESETS["tiny"], classes=3)).eval()
    model.load_state_dict(load_weights(folder / "best.safetensors")[0])
    samples = Samples.of(dataset.test, None, dataset)
    assert f"test accuracy {evaluate(model, samples).accuracy:.2%} on 18 images" in out
    flipped = evaluate(model, samples, flip=True).accuracy
    assert f"with flip test-time augmentation {flipped:.2%}" in out
    assert "as run.json says" not in out  # it says nothing of the test images


def test_a_run_on_everything_reports_test_images_and_refuses_those_it_learned(finished, refused, capsys):
    folder = finished("full", "--full")
    assert train.main(["--evaluate", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "18 test images" in out
    assert "as run.json says" in out
    assert "was trained on the validation images too (--full)" in refused(
        "--evaluate", str(folder), "--split", "validation"
    )


def test_weights_alone_need_images_and_use_their_own_normalisation(finished, data, refused, tmp_path, capsys):
    shutil.copy(finished("held") / "best.safetensors", tmp_path)
    alone = str(tmp_path / "best.safetensors")
    line = refused("--evaluate", alone)
    assert "was trained on colours (folder of images); name the images to judge it on: --data D" in line
    # The same test images beside other training images, so with another mean and deviation.
    other = tmp_path / "other"
    shutil.copytree(data[1], other)
    for path in (other / "train").rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(path)
    capsys.readouterr()
    accuracies = []
    for images in (data[1], str(other)):
        words = ["--data", images, "--cache", str(tmp_path / "cache")]
        assert train.main(["--evaluate", alone, *words]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("test acc"))
        accuracies.append(line.split(" of ")[0] + line.partition(", loss")[2])
    assert accuracies[0] == accuracies[1]


def test_other_classes_and_other_sizes_are_refused(finished, data, refused, tmp_path, capsys):
    held = str(finished("held"))
    for name, size, classes in (("big", 48, ("blue", "green", "red")), ("pets", 32, ("cat", "dog", "eel"))):
        for split in ("train", "test"):
            for number, label in enumerate(classes):
                (tmp_path / name / split / label).mkdir(parents=True)
                for index in range(2):
                    image = Image.new("RGB", (size, size), (80 * number, 40 * index, 90))
                    image.save(tmp_path / name / split / label / f"{index}.png")
    cache = ["--cache", str(tmp_path / "cache")]
    line = refused("--evaluate", held, "--data", str(tmp_path / "pets"), *cache)
    assert "has 3 classes (cat, dog, eel), but" in line
    assert "knows 3 classes (blue, green, red)" in line
    line = refused("--evaluate", held, "--data", str(tmp_path / "big"), *cache)
    assert "images of 48x48, but" in line
    assert line.endswith("was trained on images of 32x32; add --resize 32")
    words = ["--evaluate", held, "--data", str(tmp_path / "big"), "--resize", "32", "--split", "test"]
    assert train.main([*words, *cache]) == 0
    assert "other images than those of the run" in capsys.readouterr().out


class _Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def test_weights_that_are_none_are_refused_and_never_run(finished, refused, tmp_path):
    held = finished("held") / "best.safetensors"
    path = tmp_path / "best.safetensors"
    path.write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    assert "cannot be read as safetensors" in refused("--evaluate", str(path))
    torch.save(_Trap(tmp_path / "sprung"), path)
    assert "cannot be read as safetensors" in refused("--evaluate", str(path))
    assert not (tmp_path / "sprung").exists()
    path.write_bytes(held.read_bytes()[:-1000])
    assert "cannot be read as safetensors" in refused("--evaluate", str(path))
    assert "is missing" in refused("--evaluate", str(tmp_path / "none.safetensors"))
    save_file({"weight": torch.zeros(2)}, path)
    assert "no spec" in refused("--evaluate", str(path))


def test_weights_of_another_network_are_refused(finished, refused, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(3072, 3))\n"
    )
    words = ["--evaluate", str(finished("held")), "--model", str(tmp_path / "net.py")]
    assert "is of another network" in refused(*words)


def test_a_network_without_spec_is_named_by_the_user(finished, refused, place, monkeypatch, capsys):
    (place / "own.py").write_text(
        "from torch import nn\n"
        "model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))\n"
    )
    monkeypatch.chdir(place)
    folder = str(finished("own", "--model", "own.py"))
    assert "holds weights but no spec; name the network too: --model" in refused("--evaluate", folder)
    assert train.main(["--evaluate", folder, "--model", "own.py"]) == 0
    assert "as run.json says" in capsys.readouterr().out


def test_an_accuracy_that_is_not_the_records_is_told(finished, tmp_path, capsys):
    folder = shutil.copytree(finished("held"), tmp_path / "held")
    value = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(value | {"val_accuracy": 0.123}))
    assert train.main(["--evaluate", str(folder)]) == 0
    assert "\nrun.json says 12.30%\n" in capsys.readouterr().out


@pytest.mark.parametrize("size", [[3, -4, 0], [3, 32], 3])
def test_weights_for_impossible_images_are_refused(finished, refused, tmp_path, size):
    network, metadata = load_network(finished("held"))
    path = tmp_path / "odd.safetensors"
    save_weights(path, network, metadata | {"input_size": size})
    assert "'input_size' of its metadata cannot be" in refused("--evaluate", str(path))


def test_a_row_a_class_says_what_it_is_taken_for():
    confusion = np.array([[2, 1, 0], [3, 0, 0], [0, 0, 0]])
    result = Evaluation(0.5, 1.0, np.zeros(6, np.int64), np.zeros((6, 3), np.float32), confusion)
    table = per_class_table(result, ("a[b]", "c", "d"))
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    assert list(zip(*columns, strict=True)) == [
        ("a[b]", "3", "2", "66.7%", "c (1)"),
        ("c", "3", "0", "0.0%", "a[b] (3)"),
        ("d", "0", "0", "-", "-"),
    ]


@pytest.mark.parametrize("settings", [None, RunSettings(data="images.zip", resize=24)])
def test_the_images_of_a_run_are_read_from_its_settings(finished, settings):
    record = replace(RunRecord.read(finished("held") / "run.json"), settings=settings)
    found = origin(record)
    assert (found.data, found.resize) == (("images.zip", 24) if settings else (None, None))
    drawn = replace(record, dataset=replace(record.dataset, kind="shapes"))
    assert origin(drawn).data == "shapes"
