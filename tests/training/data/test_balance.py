import numpy as np
import pytest
import torch

from training.batches.chunks import plan
from training.batches.loader import Loader
from training.batches.resident import Resident
from training.data.balance import are_unequal, balanced_order, by_class, class_weights, counts_of
from training.data.samples import Samples
from training.fit.loss import cross_entropy

LABELS = np.array([0] * 70 + [1] * 20 + [2] * 10)


def test_counts_and_weights_by_hand():
    assert counts_of(LABELS, 4).tolist() == [70, 20, 10, 0]
    # 100 images of 3 classes: a class of a third would weigh 1.
    assert class_weights(LABELS, 4).tolist() == pytest.approx([100 / 210, 100 / 60, 100 / 30, 0])
    assert class_weights(LABELS, 3)[LABELS].mean() == pytest.approx(1)


def test_a_weighted_loss_is_the_mean_of_the_classes():
    logits = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    labels, weights = torch.from_numpy(LABELS), torch.from_numpy(class_weights(LABELS, 3))
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    means = torch.stack([each[labels == label].mean() for label in range(3)])
    found = cross_entropy(logits, labels, 0.0, weights)
    assert float(found) == pytest.approx(float(means.mean()))
    # The batches of an epoch add up to the same, whatever classes each of them has.
    parts = [cross_entropy(logits[n : n + 10], labels[n : n + 10], 0.0, weights) for n in range(0, 100, 10)]
    assert float(torch.stack(parts).mean()) == pytest.approx(float(found))


def test_a_balanced_order_has_every_class_alike_and_uses_every_image_of_a_small_one():
    seen = []
    for seed in range(6):
        order = balanced_order(LABELS, np.random.default_rng(seed))
        assert len(order) == 100
        counts = counts_of(LABELS[order], 3)
        assert sorted(counts) == [33, 33, 34]
        times = np.bincount(order, minlength=100)
        assert set(times[90:]) <= {3, 4}  # 10 images in 33 or 34 places
        assert set(times[70:90]) <= {1, 2}
        assert times[:70].max() == 1
        seen.append(tuple(counts))
    assert len(set(seen)) > 1  # the place over 33 is not always the same class's


def test_the_order_of_classes_is_random():
    order = LABELS[balanced_order(LABELS, np.random.default_rng(0))]
    assert counts_of(order[:50], 3).min() > 8


@pytest.mark.parametrize("kind", [Loader, Resident])
def test_batches_are_balanced_and_resume_where_they_were(kind):
    images = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    samples = Samples(images, LABELS, ("a", "b", "c"), (1.0,) * 3, (2.0,) * 3)

    def batches(first_step=0):
        place = {"workers": 0} if kind is Loader else {"device": torch.device("cpu")}
        made = kind(
            samples,
            policy="none",
            batch_size=10,
            balanced=True,
            seed=3,
            first_step=first_step,
            last_epoch=1,
            **place,
        )
        return [batch.images[:, 0, 0, 0].tolist() for batch in made.epoch()]

    whole = batches()
    assert sorted(counts_of(LABELS[np.concatenate(whole)], 3)) == [33, 33, 34]
    assert batches(first_step=4) == whole[4:]


def test_without_balance_each_image_comes_once():
    chunks = plan(100, 10, seed=0, first_epoch=1, first_step=0, last_epoch=1)
    assert sorted(np.concatenate([chunk.chosen for chunk in chunks])) == list(range(100))


def test_counts_are_named_with_what_a_constant_answer_would_reach():
    assert by_class([5, 5], ["cat", "dog"]) == "cat 5, dog 5"
    assert (
        by_class([60, 20], ["cat", "dog"]) == "cat 60, dog 20 (always answering cat would be right for 75%)"
    )
    assert by_class([5] * 19 + [7], [str(n) for n in range(20)]) == (
        "20 of 5 to 7 images (always answering 19 would be right for 7%)"
    )
    assert are_unequal([5, 6])
    assert not are_unequal([50, 59])
