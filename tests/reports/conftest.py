"""Made-up run folders, written through the records' own classes."""

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from records.files import write_json, write_text
from records.run import DatasetFacts, Environment, EpochRecord, RunRecord
from records.search import Finalist, LimitRecord, LossDifference, SearchRecord, Step
from records.trial import TrialRecord, write_trials_csv

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

MODEL = '''"""A small network of four stages."""

from torch import nn


def separable(cin, cout, stride=1, dilation=1):
    return nn.Sequential(
        nn.Conv2d(cin, cin, 3, stride, dilation, dilation, groups=cin, bias=False),
        nn.Conv2d(cin, cout, 1, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU(),
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.c2 = nn.Sequential(separable(32, 48, 2), separable(48, 48))
        self.c3 = nn.Sequential(separable(48, 96, 2), separable(96, 96, dilation=2))
        self.c4 = nn.Sequential(separable(96, 128, 2), separable(128, 128, dilation=2))
        self.output = nn.Sequential(nn.Conv2d(128, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x):
        return self.output(self.c4(self.c3(self.c2(self.c1(x)))))
'''


def dataset(classes: tuple[str, ...] = CLASSES) -> DatasetFacts:
    return DatasetFacts(
        name="shapes",
        kind="shapes",
        title="shapes (drawn, NOT CIFAR-10)",
        fingerprint="0" * 16,
        classes=classes,
        image_size=(32, 32),
        train_images=9000,
        validation_images=1000,
        test_images=2000,
        mean=(120.0, 121.0, 122.0),
        std=(60.0, 61.0, 62.0),
        notice="CIFAR-10 could not be had: every number here was measured on shapes instead.",
    )


def environment() -> Environment:
    versions = {"python": "3.11.7", "torch": "2.15.0", "optuna": "5.0.0"}
    return Environment("cpu", "AMD EPYC 7B13, 2 cores", 2, versions, "0123456789abcdef" * 2, False)


def epoch_records(count: int, top: float, seed: int) -> tuple[EpochRecord, ...]:
    noise = random.Random(seed)
    found = []
    for epoch in range(1, count + 1):
        accuracy = top * (1 - math.exp(-1.1 * epoch)) + noise.uniform(-0.01, 0.01)
        loss = 2.3 * math.exp(-0.5 * epoch) + 0.3
        rate = 0.01 * (1 - epoch / (count + 1))
        found.append(EpochRecord(epoch, loss, accuracy + 0.02, loss + 0.1, accuracy, rate, 3.25))
    return tuple(found)


def spec(widths: list[int]) -> dict[str, Any]:
    """The network of a trial, as its record holds it."""
    stages = {
        f"c{stage}": [
            {"kind": "conv", "width": width, "stride": 2},
            {"kind": "depthwise_separable", "width": width, "residual": 1, "activation": "silu"},
        ]
        for stage, width in enumerate(widths, start=1)
    }
    return {"schema": 1, "name": "c1c2c3c4", **stages, "output": {"kind": "conv-gap"}}


def trial_record(number: int, seed: int = 7, attempt: int = 1) -> TrialRecord:
    noise = random.Random(1000 * seed + number)
    widths = [noise.randrange(16, 65, 4), noise.randrange(24, 97, 4), noise.randrange(48, 161, 4)]
    widths.append(noise.randrange(64, 193, 4))
    params = 9 * sum(widths) + sum(a * b for a, b in itertools.pairwise(widths))
    macs = 1024 * 27 * widths[0] + 256 * widths[0] * widths[1] + 64 * widths[1] * widths[2]
    field = noise.choice([53, 61, 69])
    state = "failed" if number % 17 == 16 else "pruned" if noise.random() < 0.35 else "complete"
    top = 0.55 + 0.3 * (1 - math.exp(-params / 25000)) + noise.uniform(-0.02, 0.02)
    epochs = epoch_records({"failed": 0, "pruned": 2, "complete": 6}[state], top, number)
    reasons = {"failed": "RuntimeError: loss is nan", "pruned": "below the median at epoch 2"}
    return TrialRecord(
        number=number,
        attempt=attempt,
        state=state,
        spec=spec(widths),
        recipe={"epochs": 6, "policy": "full"},
        seed=seed,
        values={f"c{index}_width": width for index, width in enumerate(widths, start=1)},
        params=params,
        macs=macs,
        receptive_field=field,
        margins={"max_params": params - 99999, "min_receptive_field": 53 - field},
        score=epochs[-1].val_accuracy if epochs else None,
        seconds=3.25 * len(epochs) + 0.5,
        epochs=epochs,
        reason=reasons.get(state),
    )


def run_record(classes: tuple[str, ...] = CLASSES, name: str = "best") -> RunRecord:
    noise = random.Random(3)
    count = len(classes)
    matrix = [[noise.randrange(0, 6) for _ in range(count)] for _ in range(count)]
    for index in range(count):
        matrix[index][index] = 0
        matrix[index][index] = 200 - sum(matrix[index])
    accuracy = sum(matrix[index][index] for index in range(count)) / (200 * count)
    return RunRecord(
        name=name,
        network="c1c2c3c4",
        recipe={"epochs": 12, "policy": "full", "learning_rate": 0.01},
        seed=7,
        dataset=dataset(classes),
        environment=environment(),
        params=33_418,
        macs=4_163_840,
        receptive_field=(61, 61),
        seconds=131.4,
        started="2026-11-20T20:00:00Z",
        spec={"schema": 1, "name": "c1c2c3c4"},
        command="python -m search --trials 50",
        test_accuracy=accuracy,
        test_loss=0.41,
        test_accuracy_flip=accuracy + 0.004,
        per_class={label: matrix[index][index] / 200 for index, label in enumerate(classes)},
        confusion=tuple(map(tuple, matrix)),
        epochs=tuple(
            dataclasses.replace(e, val_loss=None, val_accuracy=None) for e in epoch_records(12, 0.9, 3)
        ),
    )


def search_record(trials: list[TrialRecord], **changes: Any) -> SearchRecord:
    scored = sorted((t for t in trials if t.score is not None), key=lambda t: -(t.score or 0))
    states = [trial.state for trial in trials]
    finalists = tuple(
        Finalist(t.number, (t.score or 0) + 0.03, t.score or 0, t.params, t.macs, t.receptive_field, 12, 40.5)
        for t in scored[:3]
    )
    record = SearchRecord(
        name="demo",
        state="finished",
        stage="done",
        started="2026-11-20T20:00:00Z",
        seconds=1840.5,
        command="python -m search --trials 50 --data shapes --name demo",
        seed=7,
        sampler="TPESampler (multivariate, constrained)",
        base="c1c2c3c4",
        wanted=len(trials),
        settings={"epochs": 6, "subset": None},
        budget={"min_receptive_field": 53, "max_params": 99999, "require_gap": True, "stages": 4},
        dataset=dataset(),
        environment=environment(),
        trials={"rejected": 31, **{state: states.count(state) for state in ("complete", "pruned", "failed")}},
        rejections={"max_params": 24, "min_receptive_field": 5, "duplicate": 2},
        importances={"c4_width": 0.51, "c3_width": 0.27, "c2_width": 0.16, "c1_width": 0.06},
        finalists=finalists,
        winner=scored[0].number if scored else None,
        verdict=(
            LimitRecord("min_receptive_field", 53, 61, -8.0, True),
            LimitRecord("max_params", 99_999, 33_418, -66581.0, True),
            LimitRecord("min_depthwise_separable", 2, 6, -4.0, True),
            LimitRecord("min_dilated", 1, 2, -1.0, True),
            LimitRecord("require_gap", True, True, 0.0, True),
            LimitRecord("forbid_max_pool", True, True, 0.0, True),
            LimitRecord("stages", 4, 4, 0.0, True),
        ),
    )
    return dataclasses.replace(record, **changes)


def write_run(folder: Path, record: RunRecord) -> Path:
    write_json(folder / "run.json", record.to_json())
    write_text(folder / "model.py", MODEL)
    pixels = numpy.random.default_rng(0).integers(0, 255, (60, 160, 3), dtype=numpy.uint8)
    Image.fromarray(pixels).resize((640, 240), Image.Resampling.NEAREST).save(folder / "mistakes.png")
    answers = numpy.arange(200) % len(record.dataset.classes)
    said = numpy.where(numpy.arange(200) % 5 == 0, (answers + 1) % len(record.dataset.classes), answers)
    sure = numpy.linspace(0.3, 0.99, 200)
    numpy.savez(folder / "predictions.npz", labels=answers, predictions=said, confidence=sure)
    return folder


def write_search(folder: Path, trials: int = 50, best: bool = True, **changes: Any) -> Path:
    records = [trial_record(number) for number in range(trials)]
    (folder / "trials").mkdir(parents=True)
    for record in records:  # written plainly: thousands of fsyncs would take minutes
        (folder / "trials" / f"{record.number}-{record.attempt}.json").write_text(
            json.dumps(record.to_json())
        )
    write_trials_csv(folder / "trials.csv", records)
    search = search_record(records, **changes)
    write_json(folder / "search.json", search.to_json())
    if best:
        write_run(folder / "best", run_record(search.dataset.classes))
    return folder


@pytest.fixture
def make_search(tmp_path: Path) -> Callable[..., Path]:
    """Write the folder of a made-up search; keywords replace fields of its SearchRecord."""
    return lambda trials=50, best=True, **changes: write_search(tmp_path / "demo", trials, best, **changes)


def descended(trial: TrialRecord) -> TrialRecord:
    """Make a trial one of a search by moves: two presets, then children of trial 1 or of trial 2."""
    epochs = tuple(dataclasses.replace(e, val_loss=1.3 - (e.val_accuracy or 0)) for e in trial.epochs)
    trial = dataclasses.replace(trial, epochs=epochs)
    grown = (
        ("stem.0.conv", 3),
        ("c1.0.depthwise", 7 + 4 * (trial.number % 3)),
        ("c2.0.conv", trial.receptive_field),
    )
    trial = dataclasses.replace(trial, growth=grown)
    if trial.number < 2:
        return dataclasses.replace(trial, preset=("tiny", "residual")[trial.number], generation=0)
    parent = 1 + trial.number % 2
    moves = (f"c{1 + trial.number % 4} x 1.4", "c4 gated")
    return dataclasses.replace(trial, parent=parent, moves=moves, generation=trial.number // 8)


def write_climb(folder: Path, beats: bool = True, trials: int = 12) -> Path:
    """Write the folder of a search by moves, whose finalists were raced against the preset residual."""
    write_search(folder, trials)
    found = [descended(trial_record(number)) for number in range(trials)]
    for trial in found:
        (folder / "trials" / f"{trial.number}-1.json").write_text(json.dumps(trial.to_json()))
    record = SearchRecord.read(folder / "search.json")
    gap = LossDifference(-0.06, 0.01, 0.02, 2.5, 2) if beats else LossDifference(0.01, 0.01, 0.02, -0.5, 2)
    raced = dataclasses.replace(record.finalists[0], number=4, losses=(0.5, 0.52), gap=gap)
    preset = dataclasses.replace(raced, number=1, preset="residual", losses=(0.56, 0.58), gap=None)
    way = (Step(1, "residual"), Step(2, "c3 x 1.4", -0.02, 0.01), Step(4, "c1 x 1.4; c4 gated", -0.01, 0.02))
    changed = dataclasses.replace(
        record,
        settings={**record.settings, "objectives": ["loss"]},
        finalists=(raced, preset),
        winner=4 if beats else 1,
        best_known="residual",
        lineage=way if beats else (),
    )
    write_json(folder / "search.json", changed.to_json())
    return folder


@pytest.fixture
def make_climb(tmp_path: Path) -> Callable[..., Path]:
    """Write the folder of a made-up search by moves: `beats` for whether it found a better network."""
    return lambda beats=True, trials=12: write_climb(tmp_path / "climb", beats, trials)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write the folder of a made-up training run; keywords replace fields of its RunRecord."""
    return lambda **changes: write_run(tmp_path / "train", dataclasses.replace(run_record(), **changes))


@pytest.fixture
def make_trial() -> Callable[..., TrialRecord]:
    """Make up one trial."""
    return trial_record
