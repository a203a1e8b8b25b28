import numpy as np
import pytest

from training.batches.draws import Crop, Draw, Flip, Grey, Hole, Jitter, Move, draw, policy_named
from training.batches.follow_albumentations import FORMS, Augmentation, compose
from training.errors import TrainingError
from training.fit.recipe import POLICIES

MEAN = (125.3, 122.9, 113.9)
REAL = [policy for policy in POLICIES if policy not in ("none", "crop")]
FOUR = [policy for policy in REAL if policy != "jitter"]
"""Those of the four operations that the assignment names."""


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)


def transform(policy: str, name: str):
    return next(each for each in compose(policy, (32, 32), MEAN) if type(each).__name__ == name)


def operation(policy: str, kind: type, size: tuple[int, int] = (32, 32)):
    return next(each for each in policy_named(policy, size) if isinstance(each, kind))


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


@pytest.mark.parametrize("policy", FOUR)
def test_a_policy_holds_all_four_kinds_of_the_assignment(policy):
    names = [type(each).__name__ for each in compose(policy, (32, 32), MEAN)]
    assert names == ["HorizontalFlip", "Affine", "CoarseDropout", "ToGray"]


def test_jitter_holds_the_four_kinds_of_the_published_dilated_network():
    names = [type(each).__name__ for each in compose("jitter", (32, 32), MEAN)]
    assert names == ["ColorJitter", "HorizontalFlip", "Affine", "CoarseDropout"]


def test_factors_of_colour_are_distributed_as_the_librarys():
    """The library draws a hue of 0 as well: its order without that is ours."""
    jitter = transform("jitter", "ColorJitter")
    jitter.set_random_seed(2)
    theirs = [jitter.get_params() for _ in range(3000)]
    drawn = operation("jitter", Jitter).draw(6000, (32, 32), np.random.default_rng(1))
    ours = drawn.values[drawn.chosen]
    for column, name in enumerate(("brightness", "contrast", "saturation")):
        assert kolmogorov_smirnov(ours[:, column], np.array([each[name] for each in theirs])) < 1
    assert {each["hue"] for each in theirs} == {0.0}
    orders = [tuple(kind for kind in each["order"] if kind < 3) for each in theirs]
    for order in set(orders):
        share = (ours[:, 3:] == order).all(axis=1).mean()
        assert share == pytest.approx(orders.count(order) / len(orders), abs=0.035)
    assert len(set(orders)) == 6


def test_assignment_is_what_the_assignment_says():
    affine, hole = transform("assignment", "Affine"), transform("assignment", "CoarseDropout")
    assert [each.p for each in compose("assignment", (32, 32), MEAN)] == [0.5] * 4
    assert affine.translate_px == {"x": (-2, 2), "y": (-2, 2)}  # 0.0625 of 32 pixels
    assert affine.scale == {"x": (0.9, 1.1), "y": (0.9, 1.1)}
    assert affine.rotate == (-45, 45)
    assert hole.hole_height_range == hole.hole_width_range == (16, 16)
    assert hole.num_holes_range == (1, 1)


def test_lengths_follow_the_size_of_the_images():
    by_name = {type(each).__name__: each for each in compose("mild", (64, 96), MEAN)}
    assert by_name["Affine"].translate_px == {"x": (-12, 12), "y": (-8, 8)}
    hole = by_name["CoarseDropout"]
    assert (hole.hole_height_range, hole.hole_width_range) == ((16, 16), (24, 24))


def test_an_unknown_policy_is_named_with_those_there_are():
    with pytest.raises(
        TrainingError,
        match="no policy 'wild'; choose one of none, light, cutout, mild, assignment, strong, crop",
    ):
        compose("wild", (32, 32), MEAN)


class Fixed:
    """Draws these shifts, and of every other range its end."""

    def __init__(self, *shifts: int) -> None:
        self.shifts = iter(shifts)

    def integers(self, low: int, high: int, count: int) -> np.ndarray:
        return np.full(count, next(self.shifts))

    def uniform(self, low: float, high: float, count: int) -> np.ndarray:
        return np.full(count, high)


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
    ours = Move(1.0, (9, 9), scale - 1, angle).matrices(5, shape, Fixed(x, y))
    assert np.allclose(ours, theirs[:2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(32, 32), (24, 60), (60, 24)])
def test_crops_are_distributed_as_the_librarys(size):
    """At 24 x 60 about a third of the images falls back to the middle."""
    crop = operation("crop", Crop, size)
    theirs_of = next(each for each in compose("crop", size, MEAN) if hasattr(each, "ratio"))
    theirs_of.set_random_seed(2)
    count = 3000
    ours = crop.corners(count, size, np.random.default_rng(1))
    theirs = np.array(
        [
            theirs_of.get_params_dependent_on_data({"shape": (*size, 3)}, {})["crop_coords"]
            for _ in range(count)
        ]
    )[:, [1, 0, 3, 2]]
    for column in range(4):
        assert kolmogorov_smirnov(ours[:, column], theirs[:, column]) < 1
    tall, broad = (ours[:, 2:] - ours[:, :2]).T
    assert (tall >= 1).all()
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 2] <= size[0]).all()
    assert (ours[:, 3] <= size[1]).all()
    assert kolmogorov_smirnov(tall * broad, np.prod(theirs[:, 2:] - theirs[:, :2], axis=1)) < 1


def test_where_no_part_fits_the_middle_is_taken():
    import albumentations

    crop = Crop(1.0, (1.0, 1.0), 1.2, (20, 90))
    theirs = albumentations.RandomResizedCrop(size=(20, 90), scale=(1, 1), ratio=(1 / 1.2, 1.2))
    left, top, right, bottom = theirs.get_params_dependent_on_data({"shape": (20, 90, 3)}, {})["crop_coords"]
    found = crop.corners(3, (20, 90), np.random.default_rng(0))
    assert (found == (top, left, bottom, right)).all()


@pytest.mark.parametrize("policy", REAL)
def test_matrices_are_distributed_as_the_librarys(policy):
    affine = transform(policy, "Affine")
    count = 3000
    ours = operation(policy, Move).matrices(count, (32, 32), np.random.default_rng(1))
    affine.set_random_seed(2)
    theirs = np.stack(
        [affine.get_params_dependent_on_data({"shape": (32, 32, 3)}, {})["matrix"][:2] for _ in range(count)]
    )
    for row, column in np.ndindex(2, 3):
        assert kolmogorov_smirnov(ours[:, row, column], theirs[:, row, column]) < 1


@pytest.mark.parametrize("kind", [Flip, Move, Hole, Grey, Crop, Jitter])
def test_pixels_are_those_of_the_librarys_apply(kind, images):
    """Each image of the chunk equals `apply` of the library for the parameters that were drawn for it."""
    name = {Crop: "crop", Jitter: "jitter"}.get(kind, "strong")
    policy = policy_named(name, (32, 32))
    place = [type(each) for each in policy].index(kind)
    each = compose(name, (32, 32), MEAN)[place]
    drawn = draw(policy, len(images), (32, 32), (5,))[place]
    result = images.copy()
    FORMS[kind].follow(each, result, drawn)
    assert drawn.chosen.any()
    for index, (image, made) in enumerate(zip(images, result, strict=True)):
        parameters = {}
        if kind is Move:
            matrix = np.concatenate([drawn.values[index], [[0.0, 0.0, 1.0]]])
            parameters = {"matrix": matrix, "output_shape": (32, 32)}
        if kind is Hole:
            top, left, bottom, right = drawn.values[index]
            parameters = {"holes": np.array([[left, top, right, bottom]]), "seed": 0}
        if kind is Crop:
            top, left, bottom, right = map(int, drawn.values[index])
            parameters = {"crop_coords": (left, top, right, bottom)}
        if kind is Jitter:
            names = ("brightness", "contrast", "saturation")
            parameters = dict(zip(names, drawn.values[index, :3].tolist(), strict=True))
            parameters |= {"hue": 0.0, "order": drawn.values[index, 3:].astype(int).tolist()}
        expected = each.apply(image, **parameters) if drawn.chosen[index] else image
        assert (expected == made).all()


@pytest.mark.parametrize("policy", [*REAL, "crop"])
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
    hole = operation("mild", Hole)
    FORMS[Hole].follow(
        transform("mild", "CoarseDropout"), black, hole.draw(4000, (32, 32), np.random.default_rng(0))
    )
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


def test_grey_of_no_image_changes_nothing(images):
    result = images.copy()
    none = Draw(np.zeros(len(images), dtype=np.bool_), np.zeros((len(images), 0)))
    FORMS[Grey].follow(transform("mild", "ToGray"), result, none)
    assert (result == images).all()
