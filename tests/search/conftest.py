"""What the tests of the search share: a space of few proposals, and an executor that trains nothing."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from models.presets import PRESETS
from records.run import EpochRecord
from search.execute.job import Job, Outcome
from search.execute.protocol import EpochDone, Event, JobDone
from search.propose.space import WidthSpace
from search.settings import Settings

Curve = Callable[[Job], Sequence[float] | str]
"""Validation accuracies of a job's epochs, or the reason of its failure."""


class SmallSpace(WidthSpace):
    """Nine proposals."""

    @cached_property
    def choices(self) -> dict[str, range]:
        full = WidthSpace(self.base).choices
        small = {name: widths[-1:] for name, widths in full.items()}
        return small | {name: full[name][-3:] for name in ("c1_width", "c2_width")}


class FakeExecutor:
    """Plays back curves in this process, one event at a time, and waits for answers as a worker does."""

    def __init__(self, curve: Curve, slots: int = 1) -> None:
        self.curve, self.slots = curve, slots
        self.submitted: list[Job] = []
        self._running: dict[int, tuple[Job, list[EpochRecord], bool]] = {}

    @property
    def free(self) -> int:
        return self.slots - len(self._running)

    def submit(self, job: Job) -> None:
        assert self.free
        self.submitted.append(job)
        self._running[job.number] = (job, [], True)

    def wait(self, timeout: float) -> Sequence[Event]:
        number, (job, epochs, go_on) = next(iter(self._running.items()))
        curve = self.curve(job)
        state, reason = "complete", None
        if isinstance(curve, str):
            state, reason = "failed", curve
        elif go_on and len(epochs) < len(curve):
            accuracy = curve[len(epochs)]
            epoch = EpochRecord(len(epochs) + 1, 1.0, accuracy, 1.0 - accuracy, accuracy, 0.1, 0.5)
            epochs.append(epoch)
            return [EpochDone(job, epoch)]
        elif not go_on:
            state = "pruned"
        del self._running[number]
        losses = np.full(4, epochs[-1].val_loss if epochs else 0.0, dtype=np.float16).tobytes()
        return [JobDone(job, Outcome(number, job.attempt, state, 1.0, tuple(epochs), reason, losses))]

    def answer(self, job: Job, *, go_on: bool) -> None:
        _, epochs, _ = self._running[job.number]
        self._running[job.number] = (job, epochs, go_on)

    def close(self) -> None:
        self._running.clear()


@pytest.fixture
def small_space() -> SmallSpace:
    return SmallSpace(PRESETS["tiny"])


@pytest.fixture
def fake_executor() -> type[FakeExecutor]:
    return FakeExecutor


@pytest.fixture
def settings() -> Settings:
    return Settings(
        data="shapes", cache="nowhere", resize=None, base="tiny", recipe="fast", device="cpu", seed=3, jobs=1,
        storage=None, trials=6, epochs=3, subset=None, finalists=2, final_epochs=4, final_subset=None,
        winner_epochs=1, precision="float32", layout="channels_last",
    )  # fmt: skip


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes that a network can tell apart: 90 images to train on, 10 to test on, each."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 90), ("test", 10)):
        for name, low in (("dark", 0), ("light", 128)):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(low, low + 128, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return tmp_path / "images"
