"""Images a second of whole training epochs: this project's loop against a plain PyTorch one.

    python -m benchmarks.train_speed --preset tiny

The same network, policy, batch size and SGD on the same images, the epochs interleaved in one run. The plain
loop is the one of the tutorials: DataLoader over a Dataset that calls albumentations with Normalize, float32,
contiguous.
"""

# ruff: noqa: E402 (how threads wait is read when torch is imported)
from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import statistics
import time
from typing import Any

from training.fit.process import prepare

prepare()  # as train.py does; the plain loop gains from it, too

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from benchmarks.augment_speed import Plain
from models.net import build
from models.presets import PRESETS
from training.data.samples import Samples
from training.fit.device import resolve
from training.fit.loop import fit
from training.fit.recipe import RECIPES


def usual_dataset(samples: Samples, policy: str) -> tuple[torch.utils.data.Dataset[Any], str]:
    """Return what one would write otherwise, one image at a time, and whose transforms it uses."""
    if importlib.util.find_spec("albumentations") is not None:
        return Plain(samples, policy, normalise=True), "albumentations"
    return Torchvision(samples), "torchvision"


class Torchvision(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """The usual Dataset with torchvision's transforms, about as strong as the policy `mild`."""

    def __init__(self, samples: Samples) -> None:
        from torchvision.transforms import v2

        mean, std = ([value / 255 for value in each] for each in (samples.mean, samples.std))
        self.samples = samples
        self.pipeline = v2.Compose(
            [
                v2.ToImage(),
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(8, translate=(0.125, 0.125)),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(mean, std),
                v2.RandomErasing(p=0.3, scale=(0.0625, 0.0625), ratio=(1, 1)),
            ]
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.pipeline(self.samples.images[index]), int(self.samples.labels[index])


def plain_epoch(
    dataset: torch.utils.data.Dataset[Any],
    model: torch.nn.Module,
    batch: int,
    workers: int,
    device: torch.device,
) -> float:
    """Train one epoch as the tutorials do; return the seconds without the start of the processes."""
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=batch, shuffle=True, drop_last=True, num_workers=workers
    )
    model = model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    batches = iter(loader)
    images, labels = next(batches)
    began = time.perf_counter()
    while True:
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()
        found = next(batches, None)
        if found is None:
            return time.perf_counter() - began
        images, labels = found


def main() -> None:
    """Measure and print a table: median of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="tiny", choices=list(PRESETS))
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--policy", default="mild")
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", choices=("on", "graphs"), help="measure this way to launch, too")
    options = parser.parse_args()
    device = resolve(options.device)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (options.images, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 10, options.images)
    samples = Samples(images, labels, tuple("0123456789"), (125.0,) * 3, (64.0,) * 3)
    recipe = dataclasses.replace(
        RECIPES["fast"],
        epochs=2,
        batch_size=options.batch,
        policy=options.policy,
        optimizer="sgd",
        learning_rate=0.05,
    )
    ways = {"this project": "off"}
    if options.compile:
        ways |= {f"this project, compile={options.compile}": options.compile}
    seconds: dict[str, list[float]] = {"plain PyTorch loop": [], **{name: [] for name in ways}}
    extra: dict[str, float] = {}
    settings: dict[str, str] = {}
    for turn in range(options.rounds + 1):
        usual, whose = usual_dataset(samples, options.policy)
        network = build(PRESETS[options.preset])
        plain = plain_epoch(usual, network, options.batch, options.workers, device)
        if turn:  # the first warms up
            seconds["plain PyTorch loop"].append(plain)
        settings["plain PyTorch loop"] = f"float32, contiguous, {options.workers} workers, {whose}"
        for name, way in ways.items():
            model, own = build(PRESETS[options.preset]), dataclasses.replace(recipe, compile=way)
            history = fit(model, samples, None, own, seed=turn, device=str(device))
            settled = history.recipe
            settings[name] = f"{settled.precision}, {settled.layout}, augment={settled.augment}"
            # The second epoch: the first one holds what happens once a run, such as compiling.
            first, second = (epoch.seconds for epoch in history.epochs)
            if turn:
                seconds[name].append(second)
            else:
                extra[name] = first - second
    title = f"{options.preset}, batch {options.batch}, {options.policy}, {device}, median of {options.rounds}"
    table = Table(title=title)
    for name in ("loop", "images/s", "times", "once a run", "settings"):
        table.add_column(name, justify="left" if name in ("loop", "settings") else "right")
    count = options.images // options.batch * options.batch
    usually = statistics.median(seconds["plain PyTorch loop"])
    for name, found in seconds.items():
        took = statistics.median(found)
        once = f"{extra[name]:.1f} s" if name in extra else ""
        table.add_row(name, f"{count / took:,.0f}", f"{usually / took:.2f}", once, settings[name])
    Console().print(table)


if __name__ == "__main__":
    main()
