"""What a search says about itself below its tables."""

from dataclasses import replace

import pytest

from records.run import EpochRecord
from records.story import arms
from records.trial import TrialRecord


def trial(number: int, arm: str, *losses: float, generation: int = 1, state: str = "complete") -> TrialRecord:
    """A trial whose epochs ended with these validation losses."""
    epochs = tuple(
        EpochRecord(
            epoch=place + 1, train_loss=1.0, train_accuracy=0.5, val_loss=loss, val_accuracy=0.5,
            learning_rate=0.1, seconds=1.0,
        )
        for place, loss in enumerate(losses)
    )  # fmt: skip
    return TrialRecord(
        number=number, attempt=1, state=state, spec={}, recipe={}, seed=0, values={}, params=1, macs=1,
        receptive_field=1, margins={}, score=0.5, seconds=1.0, epochs=epochs, generation=generation, arm=arm,
    )  # fmt: skip


@pytest.fixture
def trials() -> list[TrialRecord]:
    """A generation of three chosen children and a random one; two of them ended at half."""
    return [
        trial(0, "preset", 0.1, 0.1, generation=0),
        trial(1, "chosen", 1.0, 0.5),
        trial(2, "chosen", 1.2, state="pruned"),
        trial(3, "random", 1.4, state="pruned"),
    ]


def test_arms_are_compared_at_the_last_epoch_that_all_of_them_had(trials: list[TrialRecord]) -> None:
    assert arms(trials) == (
        "chosen by prediction: loss 1.1000 (n = 2), random children of the same generations: 1.4000 (n = 1), "
        "at the last epoch that all of them had"
    )


def test_a_child_that_failed_moves_no_comparison(trials: list[TrialRecord]) -> None:
    whole = [replace(each, state="complete", epochs=(*each.epochs, *each.epochs)[:2]) for each in trials]
    failed = trial(4, "random", 9.0, state="failed")
    assert arms([*whole, failed]) == arms(whole)


def test_generations_without_both_arms_say_nothing(trials: list[TrialRecord]) -> None:
    assert arms([each for each in trials if each.arm != "chosen"]) is None
    assert arms([each for each in trials if each.arm != "random"]) is None
