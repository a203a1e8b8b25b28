import numpy as np
import pytest

from search.session.paired import SEED_NOISE, SEED_WEIGHT, Noise, difference, quantile


def test_the_quantiles_are_students(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in range(1, 31):
        assert quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=0.0006)
    for freedom in (31, 40, 60, 500):
        assert quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=0.003)


def test_noise_is_what_network_and_seed_do_not_explain() -> None:
    levels, seeds = np.array([0.7, 0.8, 0.9])[:, None], np.array([0.0, 0.05])
    assert Noise.measured(levels + seeds).deviation == pytest.approx(
        SEED_NOISE * (SEED_WEIGHT / (2 + SEED_WEIGHT)) ** 0.5
    )
    rng = np.random.default_rng(0)
    found = Noise.measured(rng.normal(0.8, 0.03, (40, 40)))
    assert found.deviation == pytest.approx(0.03, rel=0.05)
    assert found.freedom == 39 * 39 + SEED_WEIGHT
    assert Noise.measured([[0.7, 0.8]]) == Noise()


def test_a_difference_is_paired_by_image() -> None:
    rng = np.random.default_rng(1)
    images = rng.exponential(0.7, 5_000)
    ours = (images + rng.normal(0.0, 0.1, 5_000)).astype(np.float16)
    theirs = images.astype(np.float16)
    exact = Noise(0.0, 30)
    found = difference([float(ours.mean())], [float(theirs.mean())], exact, [(ours, theirs)])
    assert found.error == pytest.approx(0.1 / 5_000**0.5, rel=0.05)
    assert found.reach == pytest.approx(2.042 * found.error)
    unpaired = (2 * images.var() / 5_000) ** 0.5
    assert found.error < unpaired / 5


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """400 pairs of equal networks, two seeds each: about 5 % of the 95 % intervals leave out 0."""
    rng, missed = np.random.default_rng(2), 0
    for _ in range(400):
        losses = rng.normal(0.7, SEED_NOISE, (2, 2))
        found = difference(losses[0], losses[1], Noise.measured(losses))
        missed += found.better or found.worse
    assert 4 <= missed <= 40
