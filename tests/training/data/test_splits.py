import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.splits import SPLIT_SEED, holdout, subset
from training.errors import TrainingError

CIFAR_LIKE = np.arange(50_000) % 10


def label_arrays(smallest: int) -> st.SearchStrategy[npt.NDArray[np.int64]]:
    sizes = st.lists(st.integers(smallest, 40), min_size=2, max_size=6)
    return sizes.flatmap(
        lambda counts: st.permutations([label for label, n in enumerate(counts) for _ in range(n)])
    ).map(np.array)


def test_a_tenth_of_every_class_is_held_out() -> None:
    train, validation = holdout(CIFAR_LIKE)

    assert np.bincount(CIFAR_LIKE[validation]).tolist() == [500] * 10
    assert np.bincount(CIFAR_LIKE[train]).tolist() == [4_500] * 10


@given(label_arrays(smallest=2), st.floats(0.01, 0.99), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_both_sides_together_are_the_set_and_every_class_is_on_both(
    labels: npt.NDArray[np.int64], fraction: float, seed: int
) -> None:
    train, validation = holdout(labels, fraction, seed)

    assert np.sort(np.concatenate([train, validation])).tolist() == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert set(labels[train]) == set(labels[validation]) == set(labels)
    for label in set(labels):
        whole, held = (labels == label).sum(), (labels[validation] == label).sum()
        assert abs(held - fraction * whole) <= 1


def test_the_split_is_the_same_on_every_machine_and_for_ever() -> None:
    _, validation = holdout(CIFAR_LIKE)

    assert SPLIT_SEED == 20_240_917
    assert validation[:8].tolist() == [4, 5, 19, 23, 26, 38, 40, 97]
    assert int(validation.sum()) == 124002900


def test_another_seed_holds_out_other_images() -> None:
    (_, default), (_, other) = holdout(CIFAR_LIKE), holdout(CIFAR_LIKE, seed=1)

    assert np.intersect1d(default, other).size < 700  # 500 expected by chance


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(TrainingError, match=r"class number 2 has one training image; .* needs two a class"):
        holdout([0, 0, 1, 1, 2])


@pytest.mark.parametrize("fraction", [0, 1, -0.1])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="0 < fraction < 1"):
        holdout(CIFAR_LIKE, fraction)


@given(label_arrays(smallest=1), st.data())
@settings(max_examples=60, deadline=None)
def test_a_subset_is_stratified_and_contained_in_larger_ones(
    labels: npt.NDArray[np.int64], data: st.DataObject
) -> None:
    indices = np.flatnonzero(np.arange(len(labels)) % 7 != 3)
    classes, counts = np.unique(labels[indices], return_counts=True)
    n = data.draw(st.integers(len(classes), len(indices)))
    seed = data.draw(st.integers(0, 1000))

    chosen, larger = subset(indices, labels, n, seed), subset(indices, labels, n + 1, seed)

    assert len(set(chosen)) == len(chosen) == n
    assert set(chosen) <= set(larger) <= set(indices)
    for label, count in zip(classes, counts, strict=True):
        quota = n * count / len(indices)
        assert abs((labels[chosen] == label).sum() - quota) < len(classes) / 2 + 1


def test_a_subset_of_equal_classes_is_exactly_equal() -> None:
    train, _ = holdout(CIFAR_LIKE)

    assert np.bincount(CIFAR_LIKE[subset(train, CIFAR_LIKE, 4_000, seed=3)]).tolist() == [400] * 10


def test_a_subset_depends_on_its_seed_alone() -> None:
    train, _ = holdout(CIFAR_LIKE)
    first, again, other = (subset(train, CIFAR_LIKE, 1_000, seed) for seed in (5, 5, 6))

    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_more_than_there_are_means_all() -> None:
    assert subset([3, 1, 2], [0, 1, 0, 1], 99, seed=0).tolist() == [1, 2, 3]


def test_fewer_than_the_classes_is_refused() -> None:
    with pytest.raises(
        TrainingError, match="a subset of 9 images cannot hold all 10 classes; take at least 10"
    ):
        subset(np.arange(100), CIFAR_LIKE, 9, seed=0)
