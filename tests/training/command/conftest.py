from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from training.fit.recipe import RECIPES


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """A folder with a recipe.json and `colours`: 3 classes of noise about a colour, 20 and 6 images each."""
    folder = tmp_path_factory.mktemp("place")
    random = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 6)):
        for number, name in enumerate(("blue", "green", "red")):
            (folder / "colours" / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.normal(100, 40, (32, 32, 3))
                pixels[..., 2 - number] += 60
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / "colours" / split / name / f"{index}.png")
    recipe = replace(RECIPES["fast"], name="small", epochs=1, batch_size=16, precision="float32")
    recipe = replace(recipe, layout="channels_last")
    (folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
    return folder


@pytest.fixture(scope="session")
def data(place) -> list[str]:
    """Flags that name the images."""
    return ["--data", str(place / "colours"), "--cache", str(place / "cache")]


@pytest.fixture(scope="session")
def finished(place, data) -> Callable[..., Path]:
    """`finished("name", "--flag", ...)` trains once a session and returns the folder of the run."""
    done: dict[str, Path] = {}

    def run(name: str, *words: str) -> Path:
        if name not in done:
            before = Path.cwd()
            os.chdir(place)
            try:
                network = [] if "--model" in words else ["--preset", "tiny"]
                given = [*data, *network, "--recipe", "recipe.json", "--device", "cpu", "--name", name]
                assert train.main([*given, *words]) == 0
            finally:
                os.chdir(before)
            done[name] = place / "runs" / "train" / name
        return done[name]

    return run


@pytest.fixture
def refused(capsys) -> Callable[..., str]:
    """`refused("--flag", ...)` runs train.py, which must leave with 2 and one line; returns that line."""

    def run(*words: str) -> str:
        capsys.readouterr()
        assert train.main(list(words)) == 2
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        lines = [line for line in captured.err.splitlines() if line.startswith("train.py: error: ")]
        assert len(lines) == 1
        return lines[0].removeprefix("train.py: error: ")

    return run
