import numpy as np
import pytest
import torch

from training.batches.loader import Loader
from training.batches.resident import Resident
from training.data.samples import Samples
from training.errors import TrainingError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def samples() -> Samples:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2500, 8, 8, 3), dtype=np.uint8)
    return Samples(images, random.integers(0, 10, 2500), tuple("abcdefghij"), (9.0,) * 3, (1.0,) * 3)


def settings(**changes) -> dict:
    return {"policy": "mild", "batch_size": 96, "seed": 3, "last_epoch": 2} | changes


def test_it_brings_the_batches_of_the_loader(samples):
    resident = Resident(samples, device=CPU, **settings())
    with Loader(samples, workers=0, **settings()) as loader:
        for _ in range(2):
            pairs = list(zip(resident.epoch(), loader.epoch(), strict=True))
            assert len(pairs) == resident.steps == 2500 // 96
            for ours, theirs in pairs:
                assert torch.equal(ours.labels, theirs.labels)
                assert (ours.images.int() - theirs.images.int()).abs().max() <= 1


@pytest.mark.parametrize("kind", ["resident", "loader with 0 workers", "loader with 2 workers"])
@pytest.mark.parametrize("step", [0, 1, 10, 11, 25])
def test_an_epoch_can_begin_at_any_step(samples, kind, step):
    """What a run needs that was broken off within an epoch; the epochs after it are whole."""

    def batches(**changes) -> list[list[torch.Tensor]]:
        if kind == "resident":
            loader = Resident(samples, device=CPU, **settings(**changes))
        else:
            loader = Loader(samples, workers=2 if "2" in kind else 0, **settings(**changes))
        try:
            return [[batch.images for batch in loader.epoch()] for _ in range(2)]
        finally:
            if isinstance(loader, Loader):
                loader.__exit__(None, None, None)

    whole, rest = batches(), batches(first_step=step)
    assert [len(epoch) for epoch in rest] == [26 - step, 26]
    for expected, found in zip([*whole[0][step:], *whole[1]], [*rest[0], *rest[1]], strict=True):
        assert torch.equal(expected, found)


def test_fewer_images_than_a_batch_are_refused(samples):
    with pytest.raises(TrainingError, match="2500 training images are fewer than one batch of 4096"):
        Resident(samples, device=CPU, **settings(batch_size=4096))


def test_a_data_set_too_large_for_the_device_is_refused_with_the_way_out(samples, monkeypatch):
    def full(*arguments: object, **more: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.raises(TrainingError, match=r"GB of images do not fit on cpu; use augment=cpu"):
        Resident(samples, device=CPU, **settings(policy="none"))
