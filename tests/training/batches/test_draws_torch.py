"""The draws of the device against those of the host, which are held against the library."""

import numpy as np
import pytest
import torch

from training.batches.draws import OPERATIONS, Draw, draw, policy_named
from training.batches.draws_torch import SOURCES, Drawn
from training.batches.draws_torch import draw as draw_epoch
from training.batches.follow_albumentations import Augmentation
from training.batches.follow_torch import BatchedAugmentation, _to_input
from training.fit.recipe import POLICIES

MEAN = (125.3, 122.9, 113.9)
SIZE = (24, 40)
REAL = [policy for policy in POLICIES if policy != "none"]
INDEX = torch.arange(8000)


def gap(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sample Kolmogorov-Smirnov statistic over its critical value at p = 0.001."""
    both = np.sort(np.concatenate([first, second]))
    counts = [np.searchsorted(np.sort(each), both, "right") / len(each) for each in (first, second)]
    return float(np.abs(counts[0] - counts[1]).max() / (1.95 * np.sqrt(1 / len(first) + 1 / len(second))))


def test_every_operation_has_a_source():
    assert set(SOURCES) == set(OPERATIONS)


@pytest.mark.parametrize("name", REAL)
def test_an_epoch_is_distributed_as_the_draws_of_the_host(name):
    policy = policy_named(name, SIZE)
    ours = draw_epoch(policy, INDEX, SIZE, seed=3, epoch=2)
    theirs = draw(policy, len(INDEX), SIZE, (5,))
    for operation, mine, drawn in zip(policy, ours, theirs, strict=True):
        assert isinstance(mine, Drawn)
        assert float(mine.chosen.float().mean()) == pytest.approx(operation.p, abs=0.025)
        values = mine.values.numpy()
        expected = drawn.values
        if expected.ndim == 3:  # matrices: the follower inverts those of the host
            expected = _to_input(expected)
            assert np.allclose(values[~mine.chosen.numpy()], np.eye(2, 3))
            # Rounded: an interpolation that the last bit decides is the same place.
            values, expected = (np.round(each, 4).reshape(len(each), -1) for each in (values, expected))
        for column in range(expected.shape[1]):
            assert gap(values[:, column].astype(float), expected[:, column].astype(float)) < 1


@pytest.mark.parametrize("name", ["assignment", "jitter"])
def test_an_epoch_changes_images_as_the_library_does(name):
    """Mean and spread of every pixel over many draws."""
    ramp = np.linspace(20, 230, 32)
    image = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (32, 1)), np.full((32, 32), 60.0)], axis=2)
    images = np.tile(image.astype(np.uint8), (2500, 1, 1, 1))
    made = BatchedAugmentation(name, (32, 32), MEAN, torch.device("cpu")).epoch(
        torch.from_numpy(images).permute(0, 3, 1, 2), torch.arange(2500), seed=1, epoch=1
    )
    ours = made.permute(0, 2, 3, 1).numpy().astype(float)
    theirs = Augmentation(name, (32, 32), MEAN)(images, (4,)).astype(float)
    sigma = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 2500) + 1e-9
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / sigma).max() < 5
    assert np.abs(ours.std(axis=0) - theirs.std(axis=0)).max() < 5


def test_what_happens_to_an_image_depends_on_its_number_alone():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 3, *SIZE), dtype=np.uint8))
    augment = BatchedAugmentation("strong", SIZE, MEAN, torch.device("cpu"))
    whole = augment.epoch(images, torch.arange(60), seed=3, epoch=2)
    some = torch.tensor([41, 7, 8])
    assert torch.equal(augment.epoch(images[some], some, seed=3, epoch=2), whole[some])
    assert not torch.equal(augment.epoch(images, torch.arange(60), seed=3, epoch=3), whole)
    assert not torch.equal(augment.epoch(images, torch.arange(60), seed=4, epoch=2), whole)


def test_an_operation_without_a_source_is_drawn_on_the_host(monkeypatch):
    policy = policy_named("light", SIZE)
    monkeypatch.delitem(SOURCES, type(policy[2]))
    drawn = draw_epoch(policy, INDEX, SIZE, seed=3, epoch=2)
    again = draw_epoch(policy, INDEX, SIZE, seed=3, epoch=2)
    other = draw_epoch(policy, INDEX, SIZE, seed=3, epoch=3)
    assert [type(each) for each in drawn] == [Drawn, Drawn, Draw, Drawn]
    assert (drawn[2].values == again[2].values).all()
    assert (drawn[2].values != other[2].values).any()
    augment = BatchedAugmentation("light", SIZE, MEAN, torch.device("cpu"))
    assert augment.epoch(torch.zeros(5, 3, *SIZE, dtype=torch.uint8), torch.arange(5), 0, 1).shape[0] == 5
