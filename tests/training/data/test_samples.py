from dataclasses import replace

import numpy as np
import pytest

from training.data.registry import Dataset, Split
from training.data.samples import Mapped, Samples
from training.fit.evaluate import evaluate
from training.fit.identity import identity_of
from training.fit.loop import fit
from training.fit.recipe import RECIPES


class Watched(np.ndarray):
    """An array that counts how many images are read at a time."""

    largest = 0

    def __getitem__(self, key):
        found = super().__getitem__(key)
        if isinstance(found, np.ndarray) and found.ndim == 4:
            Watched.largest = max(Watched.largest, len(found))
        return np.asarray(found)


@pytest.fixture
def dataset() -> Dataset:
    Watched.largest = 0
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3000, 8, 8, 3), dtype=np.uint8)
    split = Split(images.view(Watched), random.integers(0, 2, 3000))
    return Dataset("d", "folder", "d", "f", ("a", "b", "c"), split, split, (120.0,) * 3, (60.0,) * 3)


def test_mapped_samples_are_the_same_images(dataset):
    chosen = np.random.default_rng(1).permutation(3000)[:2500]
    copied, mapped = (
        Samples.of(dataset.train, chosen, dataset),
        Samples.mapped(dataset.train, chosen, dataset),
    )
    assert isinstance(mapped.images, Mapped)
    assert (mapped.images.shape, mapped.images.nbytes) == (copied.images.shape, copied.images.nbytes)
    assert (mapped.labels == copied.labels).all()
    assert (mapped.images[:] == copied.images).all()
    assert (mapped.images[np.array([5, 3])] == copied.images[[5, 3]]).all()
    assert (mapped.images[7] == copied.images[7]).all()
    assert (np.concatenate(list(mapped.pieces(70))) == copied.images).all()


def test_training_and_judging_never_hold_all_images(dataset, network):
    """Chunks of 1,024 images, whatever the data set has."""
    samples = Samples.mapped(dataset.train, None, dataset)
    recipe = RECIPES["transfer"]
    recipe = replace(recipe, epochs=1, batch_size=64, precision="float32", layout="contiguous", policy="crop")
    model = network()
    fit(model, samples, samples, recipe, seed=0)
    evaluate(model, samples)
    assert 0 < Watched.largest <= 1024


def test_a_checkpoint_knows_mapped_images_for_those_that_were_copied(dataset, network):
    copied, mapped = (take(dataset.train, None, dataset) for take in (Samples.of, Samples.mapped))
    model = network()
    assert identity_of(model, copied, 0) == identity_of(model, mapped, 0)
