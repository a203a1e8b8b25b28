"""How hard the built-in shapes are: for a linear classifier on pixels, and for a small CNN.

    python -m benchmarks.shapes_difficulty            # about 3 minutes on one core

The set has to be neither trivial (a linear classifier under 40 %) nor hopeless (a small CNN at 80-97 % in a
few epochs). No augmentation, all 10,000 training images, all 2,000 test images, float32; nothing is chosen on
test except the decay of the linear classifier, in its favour.
"""

import platform
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.registry import Dataset, Split, load

SEEDS = (0, 1, 2)
DECAYS = (0.0, 0.01, 0.1, 0.3, 1.0, 3.0)
EPOCHS = 8
BATCH = 128


def tensors(data: Dataset, split: Split) -> tuple[Tensor, Tensor]:
    mean, std = np.array(data.mean, dtype=np.float32), np.array(data.std, dtype=np.float32)
    images = (np.asarray(split.images, dtype=np.float32) - mean) / std
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(split.labels)


def accuracy(scores: Tensor, labels: Tensor) -> float:
    return float((scores.argmax(1) == labels).float().mean())


def linear(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], decay: float) -> tuple[float, float]:
    """Fit softmax regression (L-BFGS, 300 iterations at most); return its train and test accuracy."""
    (x, y), (x_test, y_test) = train, test
    pixels_to_scores = nn.Linear(x[0].numel(), 10)
    for parameter in pixels_to_scores.parameters():
        nn.init.zeros_(parameter)
    classifier = nn.Sequential(nn.Flatten(), pixels_to_scores)
    optimizer = torch.optim.LBFGS(
        classifier.parameters(),
        max_iter=300,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-5,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(classifier(x), y) + decay / 2 * pixels_to_scores.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return accuracy(classifier(x), y), accuracy(classifier(x_test), y_test)


def convolution(into: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


def small_cnn() -> nn.Sequential:
    return nn.Sequential(
        convolution(3, 16),
        convolution(16, 32, stride=2),
        convolution(32, 32),
        convolution(32, 64, stride=2),
        convolution(64, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def train_cnn(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seed: int) -> list[float]:
    """Return the test accuracy after each epoch."""
    (x, y), (x_test, y_test) = train, test
    torch.manual_seed(seed)
    network = small_cnn().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=EPOCHS * steps)
    results = []
    for _ in range(EPOCHS):
        network.train()
        order = torch.randperm(len(x))
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            optimizer.zero_grad()
            loss = F.cross_entropy(network(x[chosen]), y[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            parts = torch.split(x_test, 500)
            results.append(accuracy(torch.cat([network(part) for part in parts]), y_test))
    return results


def main() -> None:
    """Measure and print both tables."""
    torch.set_num_threads(1)
    console = Console()
    data = load("shapes", cache=Path("data/cache"))
    train, test = tensors(data, data.train), tensors(data, data.test)
    console.print(f"{data.fingerprint}, torch {torch.__version__}, {platform.machine()}, 1 thread")

    table = Table("decay", "train %", "test %", "s", title="softmax regression on normalised pixels")
    for decay in DECAYS:
        start = time.perf_counter()
        fitted, tested = linear(train, test, decay)
        table.add_row(f"{decay:g}", f"{fitted:.1%}", f"{tested:.1%}", f"{time.perf_counter() - start:.0f}")
    console.print(table)

    params = sum(parameter.numel() for parameter in small_cnn().parameters())
    epochs = [f"{epoch + 1}" for epoch in range(EPOCHS)]
    table = Table("seed", *epochs, "s", title=f"small CNN ({params:,} parameters): test % after each epoch")
    for seed in SEEDS:
        start = time.perf_counter()
        results = train_cnn(train, test, seed)
        table.add_row(f"{seed}", *(f"{r:.1%}" for r in results), f"{time.perf_counter() - start:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
