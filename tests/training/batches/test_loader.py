import threading

import numpy as np
import pytest
import torch

from training.batches.chunks import plan
from training.batches.follow_albumentations import Augmentation
from training.batches.loader import Loader
from training.data.samples import Samples
from training.errors import TrainingError


@pytest.fixture
def samples() -> Samples:
    """Image i is of one colour that names it."""
    count = 2500
    colours = np.stack([np.arange(count) % 256, np.arange(count) // 256, np.zeros(count)], axis=1)
    images = np.tile(colours.astype(np.uint8)[:, None, None], (1, 4, 4, 1))
    return Samples(images, np.arange(count) % 10, tuple("abcdefghij"), (9.0,) * 3, (1.0,) * 3)


def loaded(samples: Samples, epochs: int = 2, **changes) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    settings = {"policy": "mild", "batch_size": 96, "seed": 3, "workers": 1, "last_epoch": epochs} | changes
    with Loader(samples, **settings) as loader:
        return [[(batch.images, batch.labels) for batch in loader.epoch()] for _ in range(epochs)]


def test_batches_do_not_depend_on_the_number_of_workers(samples):
    one, *others = (loaded(samples, workers=workers) for workers in (0, 1, 3))
    for other in others:
        for epoch, other_epoch in zip(one, other, strict=True):
            for (images, labels), (other_images, other_labels) in zip(epoch, other_epoch, strict=True):
                assert torch.equal(images, other_images)
                assert torch.equal(labels, other_labels)


def test_an_epoch_shows_no_image_twice_and_leaves_only_the_rest_out(samples):
    for epoch in loaded(samples, policy="none"):
        images = torch.cat([images for images, _ in epoch])
        labels = torch.cat([labels for _, labels in epoch])
        numbers = images[:, 0, 0, 0].int() + 256 * images[:, 1, 0, 0].int()
        assert len(epoch) == 2500 // 96
        assert len(set(numbers.tolist())) == len(numbers) == 96 * (2500 // 96)
        assert torch.equal(numbers % 10, labels.int())


def test_two_epochs_differ_in_order(samples):
    first, second = loaded(samples, policy="none")
    assert not torch.equal(first[0][0], second[0][0])


def test_no_seed_epoch_or_chunk_repeats_the_draws_of_another():
    """Shuffles and augmentation have streams of their own, too."""
    keys = [
        chunk.key
        for seed in (0, 1)
        for chunk in plan(2500, 96, seed=seed, first_epoch=1, first_step=0, last_epoch=3)
    ]
    assert len(keys) == 2 * 3 * 3
    shuffles = {(0, seed, epoch) for seed in (0, 1) for epoch in (1, 2, 3)}
    assert len({*keys, *shuffles}) == len(keys) + len(shuffles)


def test_every_chunk_is_augmented_by_its_own_draws(samples, monkeypatch):
    used = []
    augment = Augmentation.__call__

    def noted(self: Augmentation, images: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        used.append(key)
        return augment(self, images, key)

    monkeypatch.setattr(Augmentation, "__call__", noted)
    loaded(samples, workers=0)
    assert used == [chunk.key for chunk in plan(2500, 96, seed=3, first_epoch=1, first_step=0, last_epoch=2)]


def test_an_epoch_is_the_same_when_a_run_begins_with_it(samples):
    """What a resumed run relies on."""
    whole = loaded(samples, epochs=3)
    resumed = loaded(samples, epochs=1, first_epoch=3, last_epoch=3)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[2], resumed[0], strict=True))


def test_images_arrive_as_uint8_in_channels_last_memory(samples):
    images = loaded(samples)[0][0][0]
    assert images.dtype == torch.uint8
    assert images.shape == (96, 3, 4, 4)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_fewer_images_than_a_batch_are_refused(samples):
    with pytest.raises(TrainingError, match="2500 training images are fewer than one batch of 4096"):
        loaded(samples, batch_size=4096)


def test_threads_end_when_training_breaks_off(samples):
    def broken() -> None:
        with Loader(samples, policy="mild", batch_size=96, seed=0, workers=3, last_epoch=9) as loader:
            next(loader.epoch())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("augment")]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_reaches_the_training(samples, workers, monkeypatch):
    def fail(self: Augmentation, images: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        raise MemoryError("no room for a chunk")

    monkeypatch.setattr(Augmentation, "__call__", fail)
    with pytest.raises(MemoryError, match="no room for a chunk"):
        loaded(samples, workers=workers)
