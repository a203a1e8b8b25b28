import numpy as np
import pytest

from training.batches.follow_albumentations import Augmentation, affine_matrices, compose
from training.errors import TrainingError
from training.fit.recipe import POLICIES

MEAN = (125.3, 122.9, 113.9)
REAL = [policy for policy in POLICIES if policy != "none"]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)


def transform(policy: str, name: str):
    return next(each for each in compose(policy, (32, 32), MEAN) if type(each).__name__ == name)


def kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sample statistic over its critical value at p = 0.001: below 1, both may be one distribution."""
    both = np.sort(np.concatenate([first, second]))
    gap = np.abs(
        np.searchsorted(np.sort(first), both, "right") / len(first)
        - np.searchsorted(np.sort(second), both, "right") / len(second)
    ).max()
    return float(gap / (1.95 * np.sqrt(1 / len(first) + 1 / len(second))))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_chunk_keeps_its_shape_and_the_images_it_came_from(policy, images):
    before = images.copy()
    result = Augmentation(policy, (32, 32), MEAN)(images, (0, 1, 2))
    assert result.shape == images.shape
    assert result.dtype == np.uint8
    assert (images == before).all()
    assert (result == images).all() == (policy == "none")


@pytest.mark.parametrize("policy", REAL)
def test_a_policy_holds_all_four_kinds_of_the_assignment(policy):
    names = [type(each).__name__ for each in compose(policy, (32, 32), MEAN)]
    assert names == ["HorizontalFlip", "Affine", "CoarseDropout", "ToGray"]


def test_assignment_is_what_the_assignment_says():
    affine, hole = transform("assignment", "Affine"), transform("assignment", "CoarseDropout")
    assert [each.p for each in compose("assignment", (32, 32), MEAN)] == [0.5] * 4
    assert affine.translate_px == {"x": (-2, 2), "y": (-2, 2)}  # 0.0625 of 32 pixels
    assert affine.scale == {"x": (0.9, 1.1), "y": (0.9, 1.1)}
    assert affine.rotate == (-45, 45)
    assert hole.hole_height_range == hole.hole_width_range == (16, 16)
    assert hole.num_holes_range == (1, 1)


def test_lengths_follow_the_size_of_the_images():
    affine = next(each for each in compose("mild", (64, 96), MEAN) if type(each).__name__ == "Affine")
    assert affine.translate_px == {"x": (-12, 12), "y": (-8, 8)}


def test_an_unknown_policy_is_named_with_those_there_are():
    with pytest.raises(
        TrainingError, match="no policy 'wild'; choose one of none, light, cutout, mild, assignment, strong"
    ):
        compose("wild", (32, 32), MEAN)


@pytest.mark.parametrize(("x", "y", "scale", "angle"), [(3, -2, 1.1, 30), (0, 4, 0.9, -45), (-1, 0, 1.0, 0)])
def test_a_matrix_is_the_librarys_for_the_same_parameters(x, y, scale, angle):
    import albumentations

    fixed = albumentations.Affine(
        translate_px={"x": (x, x), "y": (y, y)},
        scale=(scale, scale),
        rotate=(angle, angle),
        keep_ratio=True,
        strict=True,
    )
    shape = (32, 48)
    theirs = fixed.get_params_dependent_on_data({"shape": (*shape, 3)}, {})["matrix"]
    ours = affine_matrices(fixed, shape, 5, np.random.default_rng(0))
    assert np.allclose(ours, theirs[:2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("policy", REAL)
def test_matrices_are_distributed_as_the_librarys(policy):
    affine = transform(policy, "Affine")
    count = 3000
    ours = affine_matrices(affine, (32, 32), count, np.random.default_rng(1))
    affine.set_random_seed(2)
    theirs = np.stack(
        [affine.get_params_dependent_on_data({"shape": (32, 32, 3)}, {})["matrix"][:2] for _ in range(count)]
    )
    for row, column in np.ndindex(2, 3):
        assert kolmogorov_smirnov(ours[:, row, column], theirs[:, row, column]) < 1


@pytest.mark.parametrize("name", ["HorizontalFlip", "Affine", "CoarseDropout", "ToGray"])
def test_pixels_are_those_of_the_librarys_apply(name, images, monkeypatch):
    """Each image of the chunk equals `apply` for the parameters that were drawn for it."""
    from training.batches import follow_albumentations as augment

    each = transform("strong", name)
    each.p = 1.0
    step = augment._batched(each)
    result = images.copy()
    step(each, result, np.random.default_rng(5))
    random = np.random.default_rng(5)
    random.random(len(images))  # what is drawn to choose the images
    parameters: list[dict] = [{}] * len(images)
    if name == "Affine":
        last = np.broadcast_to([[[0.0, 0.0, 1.0]]], (len(images), 1, 3))
        matrices = np.concatenate([affine_matrices(each, (32, 32), len(images), random), last], axis=1)
        parameters = [{"matrix": matrix, "output_shape": (32, 32)} for matrix in matrices]
    if name == "CoarseDropout":
        heights, widths = np.full((2, len(images)), 12)
        random.integers(12, 12, size=len(images), endpoint=True)
        random.integers(12, 12, size=len(images), endpoint=True)
        tops = random.integers(0, 32 - heights, endpoint=True)
        lefts = random.integers(0, 32 - widths, endpoint=True)
        parameters = [
            {"holes": np.array([[x, y, x + 12, y + 12]]), "seed": 0} for x, y in zip(lefts, tops, strict=True)
        ]
    for image, made, values in zip(images, result, parameters, strict=True):
        assert (each.apply(image, **values) == made).all()


@pytest.mark.parametrize("policy", REAL)
def test_a_policy_changes_images_as_its_compose_does(policy):
    """Mean and spread of every pixel over many draws agree with the pipeline called image by image."""
    import random

    ramp = np.linspace(20, 230, 32)
    image = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (32, 1)), np.full((32, 32), 60.0)], axis=2)
    image = image.astype(np.uint8)
    count = 2500
    ours = Augmentation(policy, (32, 32), MEAN)(np.tile(image, (count, 1, 1, 1)), (3,)).astype(float)
    pipeline = compose(policy, (32, 32), MEAN)
    pipeline.set_random_state(np.random.default_rng(4), random.Random(4))
    theirs = np.stack([pipeline(image=image)["image"] for _ in range(count)]).astype(float)
    sigma = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / count) + 1e-9
    # 3,072 pixels are compared: five standard deviations happen once in 500 such tests.
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / sigma).max() < 5
    assert np.abs(ours.std(axis=0) - theirs.std(axis=0)).max() < 6


def test_holes_lie_everywhere_and_hold_the_mean():
    black = np.zeros((4000, 32, 32, 3), dtype=np.uint8)
    from training.batches import follow_albumentations as augment

    hole = transform("mild", "CoarseDropout")
    augment._dropout(hole, black, np.random.default_rng(0))
    holed = black.any(axis=(1, 2, 3))
    assert holed.mean() == pytest.approx(hole.p, abs=0.03)
    assert set(map(tuple, black[black.any(axis=3)].tolist())) == {(125, 123, 114)}
    assert ((black[holed] > 0).all(axis=3).sum(axis=(1, 2)) == 64).all()
    tops = black[holed].any(axis=(2, 3)).argmax(axis=1)
    assert set(tops.tolist()) == set(range(32 - 8 + 1))


def test_flips_and_grey_are_independent():
    # Left brighter than right survives every rotation of the policy but not a flip; grey has equal channels.
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    image[:, :16], image[:, 16:] = (230, 120, 40), (60, 30, 10)
    result = Augmentation("assignment", (32, 32), MEAN)(np.tile(image, (6000, 1, 1, 1)), (7,))
    flipped = result[:, :, :16].mean(axis=(1, 2, 3)) < result[:, :, 16:].mean(axis=(1, 2, 3))
    grey = (result == result[..., :1]).all(axis=(1, 2, 3))
    assert flipped.mean() == pytest.approx(0.5, abs=0.04)
    assert grey.mean() == pytest.approx(0.5, abs=0.04)
    assert flipped[grey].mean() == pytest.approx(flipped[~grey].mean(), abs=0.05)


def test_no_seed_epoch_or_chunk_repeats_another(images):
    augment = Augmentation("mild", (32, 32), MEAN)
    keys = [(seed, epoch, chunk) for seed in range(3) for epoch in range(4) for chunk in range(4)]
    results = {augment(images[:20], key).tobytes() for key in keys}
    assert len(results) == len(keys)


def test_the_same_key_gives_the_same_images(images):
    first, second = (Augmentation("strong", (32, 32), MEAN) for _ in range(2))
    first(images, (9,))
    assert (first(images, (1, 2, 3)) == second(images, (1, 2, 3))).all()


def test_a_transform_without_a_form_for_chunks_is_refused():
    import albumentations

    from training.batches import follow_albumentations as augment

    with pytest.raises(NotImplementedError, match="VerticalFlip has no form for chunks"):
        augment._batched(albumentations.VerticalFlip())
