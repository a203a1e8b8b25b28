import numpy as np
import pytest
import torch

from training.batches import pool as pools
from training.batches.loader import Loader
from training.batches.pool import Pool
from training.data.samples import Samples
from training.errors import TrainingError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def samples() -> Samples:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (500, 8, 8, 3), dtype=np.uint8)
    return Samples(images, random.integers(0, 10, 500), tuple("abcdefghij"), (9.0,) * 3, (1.0,) * 3)


def filled(samples: Samples, epoch: int, **changes) -> Pool:
    pool = Pool(samples, device=CPU, **{"policy": "strong", "batch_size": 64, "seed": 3} | changes)
    pool.fill(epoch)
    return pool


def test_without_augmentation_it_holds_the_batches_of_the_loader(samples):
    settings = {"policy": "none", "batch_size": 64, "seed": 3}
    pool = Pool(samples, device=CPU, **settings)
    with Loader(samples, workers=0, last_epoch=2, **settings) as loader:
        for epoch in (1, 2):
            pool.fill(epoch)
            batches = list(loader.epoch())
            assert len(batches) == pool.steps
            images = torch.cat([batch.images for batch in batches]).permute(0, 2, 3, 1)
            assert torch.equal(pool.images, images)
            assert torch.equal(pool.labels, torch.cat([batch.labels for batch in batches]))


def test_an_image_is_augmented_alike_in_batches_of_any_size(samples, monkeypatch):
    pool = filled(samples, 2)
    other = filled(samples, 2, batch_size=100)
    assert torch.equal(pool.images[:448], other.images[:448])
    monkeypatch.setattr(pools, "_PIXELS_AT_ONCE", 700)
    assert torch.equal(filled(samples, 2).images, pool.images)
    assert not torch.equal(filled(samples, 3).images, pool.images)
    assert not torch.equal(filled(samples, 2, seed=4).images, pool.images)


def test_every_epoch_is_in_the_same_memory_and_made_once(samples, monkeypatch):
    pool = filled(samples, 1)
    place, before = pool.images.data_ptr(), pool.images.clone()
    pool.fill(2)
    assert pool.images.data_ptr() == place
    assert not torch.equal(pool.images, before)
    monkeypatch.setattr(pool, "_augment", None)
    pool.fill(2)


def test_images_that_do_not_fit_name_the_way_out(samples, monkeypatch):
    def out(*size, **more):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", out)
    with pytest.raises(TrainingError, match=r"0\.0 GB of images, .* do not fit on cpu; use augment=cpu"):
        filled(samples, 1)
