"""Job: what the parts of benchmarks/gpu.py share: images, networks, recipes, and a watch."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from training.data import registry as datasets
from training.data.registry import Dataset
from training.data.samples import Samples
from training.fit.device import resolve
from training.fit.recipe import Recipe, named

Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """The settings of one part."""

    data: str
    cache: str
    device: str
    reduced: bool
    seconds: float
    """It should take no longer."""
    found: Result
    """By the parts before."""

    @property
    def place(self) -> torch.device:
        """Return the device."""
        return resolve(self.device)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """Return the images."""
        return datasets.load(self.data, cache=Path(self.cache))

    def preset(self, name: str) -> str:
        """Return the network used in place of `name` here."""
        return "tiny" if self.reduced else name

    def recipe(self, name: str, **changes: Any) -> Recipe:
        """Return a named recipe in its form for this device."""
        if self.reduced:
            changes |= {"batch_size": 16, "precision": "float32", "layout": "channels_last"}
        return dataclasses.replace(named(name, self.device), **changes)

    def samples(self, images: int | None = None) -> tuple[Samples, Samples]:
        """Return training and validation images."""
        data = self.dataset
        train, held_out = datasets.holdout(data.train.labels)
        images = 48 if self.reduced else images
        if images is not None and images < len(train):
            train = datasets.subset(train, data.train.labels, images, 0)
        return Samples.of(data.train, train, data), Samples.of(data.train, held_out, data)

    def network(self, spec: str | NetSpec, seed: int = 0) -> torch.nn.Module:
        """Return a preset, or what a spec describes, for these images, with fresh weights."""
        if isinstance(spec, str):
            spec = PRESETS[self.preset(spec)]
        height, width = self.dataset.image_size
        torch.manual_seed(seed)
        size, classes = (3, height, width), len(self.dataset.classes)
        return build(dataclasses.replace(spec, input_size=size, classes=classes))


Keep = Callable[[Result], None]
"""Function that is given what a part has found so far: what breaks off later does not lose it."""


class Watch:
    """Notes when the first step of a run is done."""

    def __init__(self, place: torch.device) -> None:
        self._place, self._began = place, time.perf_counter()
        self.first: float | None = None
        """Seconds to the end of the first step."""

    def __call__(self) -> bool:
        """Be asked after each step whether the run shall end: never."""
        if self.first is None:
            if self._place.type == "cuda":
                torch.cuda.synchronize()
            self.first = time.perf_counter() - self._began
        return False
