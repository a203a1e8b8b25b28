import io

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn import functional as F

from training.data import shapes
from training.data.cache import Content, Pixels


@pytest.fixture(scope="module")
def drawn() -> Content:
    return shapes.content(Console(file=io.StringIO()))


def test_ten_balanced_classes_of_32x32_colour_images(drawn: Content) -> None:
    assert len(drawn.classes) == 10
    assert drawn.train.images.shape == (10_000, 32, 32, 3)
    assert drawn.test.images.shape == (2_000, 32, 32, 3)
    assert np.bincount(drawn.train.labels).tolist() == [1000] * 10
    assert np.bincount(drawn.test.labels).tolist() == [200] * 10


def test_the_same_seed_draws_the_same_images_and_another_others() -> None:
    labels = np.arange(10)
    first, again, other = (shapes.draw(labels, shapes.Draws(seed)) for seed in (3, 3, 4))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_set_is_the_one_that_published_figures_were_measured_on(drawn: Content) -> None:
    # Means instead of bytes: the last bit of a sine may differ between processors, and with it a rounding.
    assert drawn.train.labels[:12].tolist() == [8, 8, 4, 3, 8, 5, 8, 4, 7, 2, 8, 6]
    assert drawn.train.images.mean(axis=(0, 1, 2)) == pytest.approx([102.784, 102.687, 102.168], abs=0.01)
    assert drawn.test.images.mean() == pytest.approx(102.697, abs=0.01)


def test_no_test_image_is_a_training_image(drawn: Content) -> None:
    train = {image.tobytes() for image in drawn.train.images}

    assert len(train) == 10_000
    assert not train & {image.tobytes() for image in drawn.test.images}


def test_colours_do_not_tell_the_class(drawn: Content) -> None:
    means = drawn.train.images.mean(axis=(1, 2))
    of_class = np.array([means[drawn.train.labels == label].mean(axis=0) for label in range(10)])

    # Larger shapes cover more ground, which moves a mean a little; images differ by far more.
    assert of_class.std(axis=0).max() < 0.15 * means.std(axis=0).min()


@pytest.mark.slow
def test_a_linear_classifier_on_pixels_stays_under_40_percent(drawn: Content) -> None:
    def flat(images: Pixels) -> torch.Tensor:
        return (torch.from_numpy(images).flatten(1).float() - 103) / 64

    x, y = flat(drawn.train.images), torch.from_numpy(drawn.train.labels)
    x_test, y_test = flat(drawn.test.images), torch.from_numpy(drawn.test.labels)
    best = 0.0
    for decay in (0.1, 1.0):
        weight = torch.zeros(10, x.shape[1], requires_grad=True)
        bias = torch.zeros(10, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=25, line_search_fn="strong_wolfe")

        def loss(
            weight: torch.Tensor = weight, bias: torch.Tensor = bias, decay: float = decay
        ) -> torch.Tensor:
            weight.grad = bias.grad = None
            value = F.cross_entropy(F.linear(x, weight, bias), y) + decay / 2 * weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        predicted = F.linear(x_test, weight, bias).argmax(1)
        best = max(best, float((predicted == y_test).float().mean()))

    assert 0.1 < best < 0.4


@pytest.mark.parametrize("name", shapes.CLASSES)
def test_distances_are_zero_on_the_outline_and_grow_by_one_a_step(name: str) -> None:
    distance = shapes.DISTANCES[name]
    x, y = np.meshgrid(np.linspace(-2, 2, 401), np.linspace(-2, 2, 401))
    values = distance(x, y)

    along_x, along_y = np.gradient(values, 0.01)
    slope = np.hypot(along_x, along_y)
    assert np.median(slope) == pytest.approx(1, abs=0.01)
    assert slope.max() < 1.45  # steeper nowhere, but across corners of the grid
    inside = values < 0
    assert 0.15 < inside.mean() * 16 / np.pi < 0.95  # of the unit disc
    assert np.hypot(x, y)[inside].max() < 1.15
