import numpy as np
import pytest

from training.transfer.calibration import (
    cross_fitted,
    fit_temperature,
    log_loss,
    reliability,
    softmax,
    wilson,
)


def drawn(temperature: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too large for the labels drawn by them."""
    random = np.random.Generator(np.random.PCG64(1))
    true = random.normal(size=(count, 3)) * 2
    chances = softmax(true)
    labels = (chances.cumsum(axis=1) < random.random(count)[:, None]).sum(axis=1)
    return true * temperature, labels


@pytest.mark.parametrize("wanted", [0.5, 1.0, 2.0])
def test_the_temperature_that_made_the_logits_is_found(wanted):
    logits, labels = drawn(wanted)
    assert fit_temperature(logits, labels) == pytest.approx(wanted, rel=0.05)


def test_it_stays_within_its_bounds_where_no_answer_is_wrong():
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(0.25, abs=1e-3)


def test_one_is_kept_where_no_other_is_better():
    logits = np.zeros((4, 2))
    assert fit_temperature(logits, np.array([0, 1, 0, 1])) == 1.0


def test_calibration_error_by_hand():
    # Two answers sure 0.9, one right; two sure 0.6, both right: |0.5 - 0.9| / 2 + |1 - 0.6| / 2 = 0.4
    chances = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    result = reliability(chances, np.array([0, 1, 0, 1]))
    assert result.error == pytest.approx(0.4)
    assert sum(result.counts) == 4
    assert reliability(np.array([[1.0, 0.0]]), np.array([0])).counts == (1,)  # full confidence has a bin


def test_calibrated_answers_have_little_error_and_the_temperature_lowers_the_loss():
    logits, labels = drawn(2.0)
    found = fit_temperature(logits, labels)
    before = reliability(softmax(logits), labels).error
    after = reliability(softmax(logits, found), labels).error
    assert after < 0.01 < before
    assert log_loss(logits, labels, found) < log_loss(logits, labels)


def test_log_loss_does_not_overflow():
    assert log_loss(np.array([[1e4, 0.0]]), np.array([1])) == pytest.approx(1e4)


def test_every_image_is_answered_once_by_who_did_not_learn_from_it():
    seen: list[int] = []

    def answer(rest, held):
        assert not set(rest) & set(held)
        assert len(rest) + len(held) == 23
        seen.extend(held)
        return np.stack([held, held], axis=1).astype(float)

    logits = cross_fitted(23, 0, answer)
    assert sorted(seen) == list(range(23))
    assert logits[:, 0].tolist() == list(range(23))


def test_wilson_by_its_published_example():
    # 1,984 of 2,000: 98.7 to 99.5 %; no wrong answer among ten: 72.2 to 100 %
    assert wilson(1984, 2000) == pytest.approx((0.98704, 0.99507), abs=2e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-3)
    assert wilson(0, 10)[0] == 0.0
