"""The published recipes train the published networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.reference import cifar10_dilated_blocks, cifar10_transpose
from training.data.samples import Samples
from training.fit.loop import fit
from training.fit.recipe import RECIPES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "recipe"),
    [(cifar10_transpose, "published-transpose"), (cifar10_dilated_blocks, "published-dilated")],
    ids=["transpose", "dilated"],
)
def test_three_epochs_of_a_published_network_learn(module, recipe):
    """Two classes of ten, bright and dark: the loss falls below that of a guess."""
    random = np.random.default_rng(0)
    labels = np.arange(96) % 2
    pixels = random.normal(128, 30, (96, 32, 32, 3)) + np.where(labels == 1, 70, -70)[:, None, None, None]
    classes = tuple("abcdefghij")
    images = pixels.clip(0, 255).astype(np.uint8)
    samples = Samples(images, labels, classes, (128.0,) * 3, (75.0,) * 3)
    torch.manual_seed(0)
    changed = replace(RECIPES[recipe], epochs=3, batch_size=8, precision="float32", layout="channels_last")
    history = fit(module.build_model(), samples, None, changed, seed=0)
    losses = [epoch.train_loss for epoch in history.epochs]
    assert losses[0] > losses[-1]
    assert losses[-1] < 1
