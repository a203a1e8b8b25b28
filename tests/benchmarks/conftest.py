"""What the tests of the benchmarks share."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from models.arithmetic import figures
from models.spec import NetSpec
from records.run import EpochRecord
from search.execute.job import Outcome


@pytest.fixture
def load(monkeypatch) -> Callable[[str], ModuleType]:
    """`load(name)`: the module benchmarks.NAME, new, as a process of its own would have it."""
    monkeypatch.setenv("GOMP_SPINCOUNT", "20000")

    def load_script(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
        return importlib.import_module(f"benchmarks.{name}")

    return load_script


@pytest.fixture
def images(tmp_path) -> Path:
    """Two classes of noise, 32 x 32, 80 images each to train and validate on."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 80), ("test", 2)):
        for name in ("cat", "dog"):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
                    place / f"{number}.png"
                )
    return tmp_path / "images"


@pytest.fixture
def places(images, tmp_path) -> list[str]:
    """Flags: small images, the smaller space, and where everything lies."""
    where = ["--data", str(images), "--cache", str(tmp_path / "cache")]
    where += ["--output", str(tmp_path / "out.json")]
    return [*where, "--images", "64", "--seeds", "0", "--space", "widths", "--device", "cpu"]


class FakeTraining:
    """Trains nothing: the accuracy is a function of the network, the epochs and the seed."""

    def __init__(self) -> None:
        self.calls: list[tuple[NetSpec, int, int]] = []
        self.stop_at: int | None = None
        self.fail_at: int | None = None

    def train(self, spec: NetSpec, epochs: int, seed: int) -> Outcome:
        self.calls.append((spec, epochs, seed))
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        if len(self.calls) == self.fail_at:
            return Outcome(0, 1, "failed", 0.0, (), "TrainingError: the loss became nan")
        top = min(0.9, figures(spec, spec.input_size).macs / 2e7) + seed % 97 / 10_000
        curve = [top * epoch / (epoch + 1) for epoch in range(1, epochs + 1)]
        ended = tuple(EpochRecord(i, 1.0, value, 1.0, value, 0.1, 0.5) for i, value in enumerate(curve, 1))
        return Outcome(0, 1, "complete", 2.0, ended)


@pytest.fixture
def training(monkeypatch) -> FakeTraining:
    """Puts a fake in the place of training, and of the measurements of speed before it."""
    short_runs = importlib.import_module("benchmarks.short_runs")  # the one that a loaded script has imported

    fake = FakeTraining()
    monkeypatch.setattr(short_runs.Bench, "train", lambda bench, *what: fake.train(*what))
    monkeypatch.setattr(short_runs.Bench, "epoch_seconds", lambda bench, specs: 1.0)
    monkeypatch.setattr(
        short_runs, "settle", lambda recipe, *more: replace(recipe, precision="float32", layout="contiguous")
    )
    return fake
