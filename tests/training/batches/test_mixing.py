from dataclasses import replace

import numpy as np
import pytest
import torch

from training.batches.mixing import Mix, draw_mix, mixed, mixed_by
from training.fit.recipe import RECIPES

PLAIN = replace(RECIPES["fast"], mixup=0.0, cutmix=0.0)


def draws(recipe, done: float, count: int = 4000, size: tuple[int, int] = (32, 48)) -> list[Mix]:
    random = np.random.default_rng(0)
    return [draw_mix(recipe, done, size, random) for _ in range(count)]


def test_without_either_nothing_is_mixed_and_nothing_drawn():
    random = np.random.default_rng(0)
    assert draw_mix(PLAIN, 1.0, (32, 32), random) == Mix(0.0)
    assert random.random() == np.random.default_rng(0).random()
    images = torch.rand(3, 3, 4, 4)
    assert mixed(images, Mix(0.0)) is images


def test_mixup_blends_with_the_mirrored_place_of_the_batch():
    images = torch.rand(5, 3, 4, 4)
    expected = 0.7 * images + 0.3 * images.flip(0)
    assert torch.allclose(mixed(images.clone(), Mix(0.3)), expected)


def test_cutmix_pastes_the_patch_and_nothing_else():
    images = torch.rand(4, 3, 6, 8)
    result = mixed(images.clone(), Mix(0.25, (1, 2, 4, 6)))
    inside = torch.zeros(6, 8, dtype=torch.bool)
    inside[1:4, 2:6] = True
    assert torch.equal(result[..., inside], images.flip(0)[..., inside])
    assert torch.equal(result[..., ~inside], images[..., ~inside])


def test_the_share_of_the_label_is_the_area_of_the_patch():
    for mix in draws(replace(PLAIN, cutmix=0.5), 1.0, 500):
        assert mix.patch is not None
        top, left, bottom, right = mix.patch
        assert 0 <= top <= bottom <= 32
        assert 0 <= left <= right <= 48
        assert mix.share == (bottom - top) * (right - left) / (32 * 48)


@pytest.mark.parametrize("key", ["mixup", "cutmix"])
@pytest.mark.parametrize("done", [0.0, 0.5, 1.0])
def test_the_largest_share_is_reached_on_a_ramp(key, done):
    shares = np.array([mix.share for mix in draws(replace(PLAIN, **{key: 0.4}), done)])
    assert shares.max() <= 0.4 * done + 0.02  # a patch has whole pixels
    assert shares.mean() == pytest.approx(0.4 * done / 2, abs=0.01)


def test_with_both_each_has_half_of_the_batches():
    both = draws(replace(PLAIN, mixup=0.5, cutmix=0.5), 1.0)
    cut = np.mean([mix.patch is not None for mix in both])
    assert cut == pytest.approx(0.5, abs=0.03)


def test_patches_reach_every_corner():
    seen = np.zeros((32, 48), dtype=bool)
    for mix in draws(replace(PLAIN, cutmix=0.3), 1.0, 1000):
        top, left, bottom, right = mix.patch or (0, 0, 0, 0)
        seen[top:bottom, left:right] = True
    assert seen.all()


@pytest.mark.parametrize("mix", [Mix(0.0), Mix(0.3), Mix(0.25, (2, 0, 6, 4)), Mix(1.0, (0, 0, 8, 6))])
def test_numbers_of_the_device_mix_as_those_of_the_host(mix):
    images = torch.randn(5, 3, 8, 6)
    share = torch.tensor(mix.share if mix.patch is None else 0.0)
    patch = [torch.tensor(float(each)) for each in mix.patch or (0, 0, 0, 0)]
    assert torch.equal(mixed_by(images, share, patch), mixed(images.clone(), mix))
