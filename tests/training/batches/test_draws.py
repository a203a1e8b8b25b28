import hashlib

import numpy as np
import pytest

from training.batches import draws, follow_albumentations, follow_torch
from training.batches.draws import OPERATIONS, Hole, Jitter, Move, draw, policy_named
from training.errors import TrainingError
from training.fit.recipe import POLICIES

MEAN = (125.3, 122.9, 113.9)

# Made with the code before the draws had a module of their own (commit d56fc47): the same seed gives the same
# pictures for ever, or figures of earlier runs cannot be repeated.
DRAWS = {
    ("light", (32, 32)): "0864122a56e74d8a",
    ("light", (24, 40)): "d609bf5027c2646f",
    ("cutout", (32, 32)): "491c4b4eb96c4dbf",
    ("cutout", (24, 40)): "c2549259ce9bb593",
    ("mild", (32, 32)): "61f6b3de275f9d32",
    ("mild", (24, 40)): "aa257b64bb337bd4",
    ("assignment", (32, 32)): "af76030c67d2751e",
    ("assignment", (24, 40)): "bebe75f259687e7e",
    ("strong", (32, 32)): "cee6463c3a7cb53f",
    ("strong", (24, 40)): "bbdd67b49a614375",
}
# Shifts, holes, flips and grey alone: no interpolation, which releases of OpenCV round differently.
PICTURES = {
    ("light", (32, 32)): "045df0842ba55233",
    ("cutout", (32, 32)): "80842c9f5a9fe49c",
    ("light", (24, 40)): "6c067c0dfc696764",
    ("cutout", (24, 40)): "2ee1688fced3f777",
}
# With OpenCV 5, rotations and scales too.
PICTURES_OF_OPENCV_5 = {
    ("mild", (32, 32)): "5dcec2261cb9c1b8",
    ("assignment", (32, 32)): "af62e278930b153a",
    ("strong", (32, 32)): "49e145da8e0d5d38",
    ("mild", (24, 40)): "30c2545a55989dd5",
    ("assignment", (24, 40)): "5f0af8cc880fcaeb",
    ("strong", (24, 40)): "eac0065de968a174",
}


def digest(*arrays: np.ndarray) -> str:
    # Rounded: a sine may differ in its last bit from one machine to another.
    rounded = [np.round(np.asarray(each, dtype=np.float64), 6) + 0.0 for each in arrays]
    return hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in rounded)).hexdigest()[:16]


def test_jitter_leaves_what_is_not_chosen_as_it_is():
    drawn = Jitter(0.5, 0.2, 0.3, 0.4).draw(4000, (32, 32), np.random.default_rng(0))
    assert (drawn.values[~drawn.chosen] == [1, 1, 1, 0, 1, 2]).all()
    low, high = drawn.values[drawn.chosen, :3].min(axis=0), drawn.values[drawn.chosen, :3].max(axis=0)
    assert np.allclose(low, [0.8, 0.7, 0.6], atol=0.01)
    assert np.allclose(high, [1.2, 1.3, 1.4], atol=0.01)


def test_a_seed_draws_the_jitter_it_always_has():
    values = [each.values for each in draw(policy_named("jitter", (32, 32)), 300, (32, 32), (1, 2, 3))]
    assert digest(*values) == "4f06e913d7fb6ed0"


def pictures(policy: str, size: tuple[int, int]) -> str:
    images = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (300, *size, 3), dtype=np.uint8)
    made = follow_albumentations.Augmentation(policy, size, MEAN)(images, (1, 2, 3))
    return hashlib.sha256(made.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(("case", "expected"), DRAWS.items(), ids=[f"{p} {s}" for p, s in DRAWS])
def test_a_seed_draws_what_it_always_has(case, expected):
    policy, size = case
    flip, move, hole, grey = draw(policy_named(policy, size), 300, size, (1, 2, 3))
    assert digest(flip.chosen, move.values, hole.values, grey.chosen) == expected


def test_a_seed_draws_the_crops_it_always_has():
    flip, crop = draw(policy_named("crop", (24, 40)), 300, (24, 40), (1, 2, 3))
    assert digest(flip.chosen, crop.values) == "b69c5dd9dca73adc"


@pytest.mark.parametrize(("case", "expected"), PICTURES.items(), ids=[f"{p} {s}" for p, s in PICTURES])
def test_a_seed_makes_the_pictures_it_always_has(case, expected):
    assert pictures(*case) == expected


@pytest.mark.parametrize(
    ("case", "expected"), PICTURES_OF_OPENCV_5.items(), ids=[f"{p} {s}" for p, s in PICTURES_OF_OPENCV_5]
)
def test_a_seed_makes_the_turned_pictures_it_always_has(case, expected):
    import cv2

    if not cv2.__version__.startswith("5."):
        pytest.skip(f"the digests are of OpenCV 5, this is {cv2.__version__}")
    assert pictures(*case) == expected


def test_both_followers_know_every_operation():
    assert set(follow_albumentations.FORMS) == set(follow_torch.FORMS) == set(OPERATIONS)
    used = {type(each) for name in POLICIES for each in policy_named(name, (32, 32))}
    assert used == set(OPERATIONS)


def test_the_recipe_names_the_policies_there_are():
    assert tuple(draws._POLICIES) == POLICIES
    with pytest.raises(TrainingError, match="no policy 'wild'; choose one of none, light, cutout"):
        policy_named("wild", (32, 32))


def test_lengths_follow_the_size_of_the_images():
    _, move, hole, _ = policy_named("mild", (64, 96))
    assert isinstance(move, Move)
    assert isinstance(hole, Hole)
    assert move.shift == (12, 8)  # across, down
    assert hole.size == (16, 24)  # height, width


def test_a_quarter_turn_takes_the_upper_left_corner_to_the_lower_left_one():
    class Ends:
        """Draws the end of every range."""

        def integers(self, low: int, high: int, count: int) -> np.ndarray:
            return np.full(count, high - 1)

        def uniform(self, low: float, high: float, count: int) -> np.ndarray:
            return np.full(count, high)

    (matrix,) = Move(1.0, (0, 0), 0.0, 90).matrices(1, (32, 32), Ends())
    assert np.allclose(matrix @ [0, 0, 1], [0, 31])


def test_what_is_not_chosen_is_left_as_it_is():
    _, move, hole, _ = draw(policy_named("assignment", (32, 32)), 500, (32, 32), (3,))
    assert (move.values[~move.chosen] == np.eye(2, 3)).all()
    assert not hole.values[~hole.chosen].any()
    assert 0 < move.chosen.sum() < 500


def test_a_hole_larger_than_the_image_is_cut_to_it():
    corners = Hole(1.0, (99, 4)).corners(50, (8, 16), np.random.default_rng(0))
    assert (corners[:, 0] == 0).all()
    assert (corners[:, 2] == 8).all()
    assert set((corners[:, 3] - corners[:, 1]).tolist()) == {4}
