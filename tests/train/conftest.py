"""A little data set, and train.py on it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from training.fit.recipe import RECIPES


@pytest.fixture(scope="session")
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
def given(data, tmp_path, monkeypatch) -> list[str]:
    """Flags that name the images; from here on the folder is an empty one with a `recipe.json`."""
    monkeypatch.chdir(tmp_path)
    recipe = replace(RECIPES["fast"], name="small", epochs=2, batch_size=16, precision="float32")
    recipe = replace(recipe, layout="channels_last")
    Path("recipe.json").write_text(json.dumps(recipe.to_json()))
    return ["--data", str(data), "--cache", str(data.parent / "cache")]


@pytest.fixture
def command(given):
    """`command("--flag", ...)` trains `tiny` on the little data set."""
    usual = [*given, "--recipe", "recipe.json", "--preset", "tiny", "--device", "cpu"]
    return lambda *words: train.main([*usual, *words])
