import numpy as np
import pytest
import torch

from training.batches import follow_torch as augment_gpu
from training.batches.draws import Crop, Draw, Hole, Move, draw, policy_named
from training.batches.follow_albumentations import FORMS, Augmentation, _library
from training.batches.follow_torch import BatchedAugmentation, to_grey, warp
from training.errors import TrainingError
from training.fit.recipe import POLICIES

MEAN = (125.3, 122.9, 113.9)
CPU = torch.device("cpu")
REAL = [policy for policy in POLICIES if policy not in ("none", "crop", "jitter")]
"""Those of the four operations that the assignment names."""


def batch(count: int = 200, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def augmented(policy: str, images: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
    made = BatchedAugmentation(policy, images.shape[1:3], MEAN, CPU)(
        torch.from_numpy(images).permute(0, 3, 1, 2), key
    )
    assert made.dtype == torch.uint8
    return made.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_it_makes_the_pictures_of_the_library_for_the_same_draws(policy, size):
    """Noise is the hardest picture there is: neighbouring pixels have nothing in common."""
    images = batch(size=size)
    ours = augmented(policy, images, (1, 2, 3)).astype(int)
    theirs = Augmentation(policy, size, MEAN)(images, (1, 2, 3)).astype(int)
    # One grey level of rounding in the warp; grey, made of three of those, stays within it.
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.001


def test_what_is_augmented_is_left_as_it_was():
    images = batch(50)
    before = images.copy()
    augmented("strong", images, (1,))
    assert (images == before).all()


def test_the_warp_reflects_without_repeating_the_border():
    import cv2

    images = batch(64)
    matrices = Move(1.0, (30, 20), 0.5, 180).matrices(64, (32, 48), np.random.default_rng(1))
    theirs = np.stack(
        [
            cv2.warpAffine(image, matrix, (48, 32), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            for image, matrix in zip(images, matrices, strict=True)
        ]
    )
    found = warp(
        torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(augment_gpu._to_input(matrices))
    )
    assert np.abs(found.permute(0, 2, 3, 1).numpy().astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (56, 56)])
def test_a_crop_is_the_librarys_to_the_last_bit(size):
    images = batch(150, size)
    crop = Crop(1.0, (0.02, 1.0), 2.0, size)
    drawn = crop.draw(150, size, np.random.default_rng(3))
    drawn.values[:3] = [[0, 0, *size], [1, 2, 2, 3], [size[0] - 1, 0, *size]]  # whole, a pixel, a row
    theirs = images.copy()
    FORMS[Crop].follow(FORMS[Crop].transform(_library(), crop, ()), theirs, drawn)
    ours = augment_gpu.FORMS[Crop](torch.from_numpy(images).permute(0, 3, 1, 2), drawn, None)
    assert (ours.permute(0, 2, 3, 1).numpy() == theirs).all()
    assert (theirs[0] == images[0]).all()
    assert (theirs[1] == images[1, 1, 2]).all()


def test_grey_has_the_weights_of_the_library_to_the_last_bit():
    import cv2

    images = batch(400, (8, 8))
    theirs = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])
    found = to_grey(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    assert (found == theirs[:, None]).all()


@pytest.mark.parametrize("name", REAL)
def test_shares_of_flips_moves_holes_and_grey_are_the_policys(name):
    policy = policy_named(name, (32, 32))
    _, move, hole, _ = policy
    assert isinstance(move, Move)
    assert isinstance(hole, Hole)
    flipped, moved, holed, greyed = draw(policy, 20_000, (32, 32), (4,))
    still = (moved.values == np.eye(2, 3)).all(axis=(1, 2))
    # A policy of shifts alone also draws the shift by (0, 0).
    shifts = (2 * move.shift[0] + 1) * (2 * move.shift[1] + 1)
    truly = 1.0 if move.rotate or move.scale else 1 - 1 / shifts
    assert 1 - still.mean() == pytest.approx(move.p * truly, abs=0.01)
    for operation, drawn in zip(policy, (flipped, moved, holed, greyed), strict=True):
        assert drawn.chosen.mean() == pytest.approx(operation.p, abs=0.02)
    corners = holed.values[holed.chosen]
    heights, widths = (corners[:, 2:] - corners[:, :2]).T
    assert set(heights.tolist()) == {hole.size[0]}
    assert set(widths.tolist()) == {hole.size[1]}
    grey_of_flipped = greyed.chosen[flipped.chosen].mean()
    assert grey_of_flipped == pytest.approx(greyed.chosen[~flipped.chosen].mean(), abs=0.03)


def test_a_policy_changes_images_as_the_librarys_does():
    """Other draws on each side: mean and spread of every pixel agree over many."""
    ramp = np.linspace(20, 230, 32)
    image = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (32, 1)), np.full((32, 32), 60.0)], axis=2)
    count = 4000
    images = np.tile(image.astype(np.uint8), (count, 1, 1, 1))
    ours = augmented("assignment", images, (3,)).astype(float)
    theirs = Augmentation("assignment", (32, 32), MEAN)(images, (4,)).astype(float)
    sigma = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / count) + 1e-9
    # 3,072 pixels are compared: five standard deviations happen once in 500 such tests.
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / sigma).max() < 5
    assert np.abs(ours.std(axis=0) - theirs.std(axis=0)).max() < 5


def test_keys_that_differ_give_pictures_that_differ():
    images = batch(20)
    keys = [(seed, epoch, chunk) for seed in range(2) for epoch in range(3) for chunk in range(3)]
    assert len({augmented("mild", images, key).tobytes() for key in keys}) == len(keys)


def test_given_draws_are_followed_one_by_one():
    images = batch(4, (4, 4))
    holes = np.array([[0, 0, 0, 0], [1, 1, 3, 4], [0, 0, 0, 0], [0, 0, 0, 0]])
    matrices = np.tile(np.eye(2, 3), (4, 1, 1))
    matrices[2, 0, 2] = 1  # one pixel to the right
    nothing = np.zeros((4, 0))
    draws = [
        Draw(np.array([True, False, False, False]), nothing),
        Draw(np.array([False, False, True, False]), matrices),
        Draw(np.array([False, True, False, False]), holes),
        Draw(np.array([False, False, False, True]), nothing),
    ]
    made = BatchedAugmentation("mild", (4, 4), MEAN, CPU).follow(
        torch.from_numpy(images).permute(0, 3, 1, 2), draws
    )
    flipped, holed, moved, grey = made.permute(0, 2, 3, 1).numpy()
    assert (flipped == images[0, :, ::-1]).all()
    assert (holed[1:3, 1:4] == (125, 123, 114)).all()
    assert (holed[0] == images[1, 0]).all()
    assert (moved[:, 1:] == images[2, :, :-1]).all()
    assert (moved[:, 0] == images[2, :, 1]).all()  # the border is a mirror
    assert (grey == grey[..., :1]).all()


def test_an_unknown_policy_is_named():
    with pytest.raises(TrainingError, match="there is no policy 'wild'"):
        BatchedAugmentation("wild", (32, 32), MEAN, CPU)


@pytest.mark.slow
def test_it_needs_neither_albumentations_nor_opencv():
    """On a bare machine it is the only way: importing what trains must not pull them in."""
    import subprocess
    import sys
    from pathlib import Path

    script = (
        "import sys; sys.modules['albumentations'] = sys.modules['cv2'] = None\n"
        "import torch, training.fit.loop\n"
        "from training.batches.follow_torch import BatchedAugmentation\n"
        "make = BatchedAugmentation('strong', (8, 8), (1.0, 2.0, 3.0), torch.device('cpu'))\n"
        "print(make(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), (1,)).shape)\n"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "torch.Size([4, 3, 8, 8])\n"
