"""Images a second through this project's loader and through torch's DataLoader with the same policy.

    python -m benchmarks.augment_speed
    python -m benchmarks.augment_speed --images 20000 --workers 0 1 2

Both deliver batches of 128 from an array of 32x32 images in memory, in one run, interleaved. The DataLoader
is what one would write otherwise: a Dataset whose `__getitem__` calls the albumentations pipeline, once as it
is and once with `A.Normalize` in it; both call `cv2.setNumThreads(0)`. This project's loader ships uint8 and
normalises on the device, so its row contains the normalisation of each batch, too. The last column is the
batched form of `augment=gpu`, on the device, whatever the workers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from training.batches.follow_albumentations import compose
from training.batches.loader import Loader
from training.batches.resident import Resident
from training.data.samples import Samples
from training.fit.device import Normalise, resolve

BATCH = 128


class Plain(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """The usual Dataset: one image at a time."""

    def __init__(self, samples: Samples, policy: str, normalise: bool) -> None:
        import albumentations

        self.samples = samples
        steps = list(compose(policy, samples.image_size, samples.mean))
        if normalise:
            mean, std = (tuple(value / 255 for value in each) for each in (samples.mean, samples.std))
            steps.append(albumentations.Normalize(mean, std))
        self.pipeline = albumentations.Compose(steps)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.pipeline(image=self.samples.images[index])["image"]
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), int(self.samples.labels[index])


def plain(samples: Samples, policy: str, workers: int, normalise: bool) -> Callable[[], int]:
    """Return a function that goes through one epoch of the DataLoader and returns the number of images."""
    loader = torch.utils.data.DataLoader(
        Plain(samples, policy, normalise),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda: sum(len(labels) for _, labels in loader)


def ours(samples: Samples, policy: str, workers: int, epochs: int) -> Callable[[], int]:
    """Return the same for this project's loader."""
    normalise = Normalise(samples.mean, samples.std, torch.device("cpu"))
    loader = Loader(samples, policy=policy, batch_size=BATCH, seed=0, workers=workers, last_epoch=epochs)

    def epoch() -> int:
        count = 0
        for batch in loader.epoch():
            count += len(normalise(batch.images, torch.channels_last))
        return count

    return epoch


def batched(samples: Samples, policy: str, epochs: int, device: torch.device) -> Callable[[], int]:
    """Return the same for the batched augmentation of `augment=gpu`."""
    normalise = Normalise(samples.mean, samples.std, device)
    resident = Resident(samples, policy=policy, batch_size=BATCH, seed=0, device=device, last_epoch=epochs)

    def epoch() -> int:
        count = 0
        for batch in resident.epoch():
            count += len(normalise(batch.images, torch.channels_last))
        if device.type == "cuda":
            torch.cuda.synchronize()
        return count

    return epoch


def main() -> None:
    """Measure and print a table: median of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--policy", default="mild")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto", help="of the batched augmentation")
    options = parser.parse_args()
    device = resolve(options.device)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (options.images, 32, 32, 3), dtype=np.uint8)
    samples = Samples(
        images, random.integers(0, 10, options.images), tuple("0123456789"), (125.0,) * 3, (64.0,) * 3
    )
    title = f"images/s, policy {options.policy}, {options.images:,} images, median of {options.rounds}"
    table = Table(title=title)
    for name in ("workers", "DataLoader", "with Normalize", "this project", "ratio", f"batched ({device})"):
        table.add_column(name, justify="right")
    for workers in options.workers:
        ways = [
            plain(samples, options.policy, workers, normalise=False),
            plain(samples, options.policy, workers, normalise=True),
            ours(samples, options.policy, workers, options.rounds + 1),
            batched(samples, options.policy, options.rounds + 1, device),
        ]
        speeds: list[list[float]] = [[] for _ in ways]
        for turn in range(options.rounds + 1):
            for way, found in zip(ways, speeds, strict=True):
                began = time.perf_counter()
                count = way()
                if turn:  # the first starts processes and fills caches
                    found.append(count / (time.perf_counter() - began))
        raw, normalised, own, there = (statistics.median(found) for found in speeds)
        ratio = f"{own / normalised:.1f}x"
        table.add_row(
            str(workers), f"{raw:,.0f}", f"{normalised:,.0f}", f"{own:,.0f}", ratio, f"{there:,.0f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
