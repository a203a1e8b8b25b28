"""What the tests of the loop train: a small network, images that it learns in seconds, and a recipe."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from training.data.samples import Samples
from training.fit.recipe import Recipe

RECIPE = Recipe(
    name="test",
    epochs=3,
    batch_size=32,
    learning_rate=0.1,
    ema=0.1,
    precision="float32",
    layout="channels_last",
)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def dataset(count: int = 200, seed: int = 0) -> Samples:
    """Three classes of noise about three colours: learnt in seconds, not at once."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    colours = np.array([[150, 110, 110], [110, 150, 110], [110, 110, 150]])[labels]
    noise = random.normal(0, 60, (count, 16, 16, 3))
    images = (colours[:, None, None] + noise).clip(0, 255).astype(np.uint8)
    return Samples(images, labels, ("red", "green", "blue"), (123.0,) * 3, (60.0,) * 3)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture(name="recipe")
def _recipe() -> Recipe:
    return RECIPE


@pytest.fixture(name="network")
def _network() -> Callable[..., nn.Module]:
    return network


@pytest.fixture(name="dataset")
def _dataset() -> Callable[..., Samples]:
    return dataset


@pytest.fixture(name="weights")
def _weights() -> Callable[[nn.Module], dict[str, torch.Tensor]]:
    return weights


@pytest.fixture(name="same")
def _same() -> Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], bool]:
    return same
