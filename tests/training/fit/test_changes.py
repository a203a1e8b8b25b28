import pytest

from training.errors import TrainingError
from training.fit.changes import changed, changes_of
from training.fit.recipe import RECIPES


def test_values_are_read_by_the_types_of_their_fields() -> None:
    recipe = changed(RECIPES["fast"], ["lr=0.05", "batch_size = 32", "optimizer=adamw", "clip=1"])
    assert (recipe.learning_rate, recipe.batch_size, recipe.optimizer) == (0.05, 32, "adamw")
    assert (type(recipe.batch_size), type(recipe.clip)) == (int, float)
    assert recipe.weight_decay == RECIPES["fast"].weight_decay


def test_short_names_stand_for_the_fields() -> None:
    assert changes_of(["wd=0.1", "lr=2"]) == {"weight_decay": 0.1, "learning_rate": 2.0}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lr"], "--set lr: write KEY=VALUE, such as --set lr=0.1"),
        (["lr="], "write KEY=VALUE"),
        (["momentun=0.9"], "--set momentun=0.9: momentun is unknown; did you mean momentum?"),
        (["name=mine"], "name is unknown"),
        (["batch_size=12.5"], "--set batch_size=12.5: a whole number is needed, got '12.5'"),
        (["batch_size=" + "9" * 5000], "a whole number is needed, got '9999"),
        (["lr=fast"], "--set lr=fast: a number is needed, got 'fast'"),
        (["lr=1", "learning_rate=2"], "learning_rate is set twice"),
        (
            ["lr=nan"],
            "--set: recipe 'fast': `0 < learning_rate <= 1000` must hold, but got",
        ),
        (["optimizer=sdg"], "--set: .*optimizer in {sgd, adamw, muon}"),
    ],
)
def test_what_cannot_be_set_is_one_line(texts: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        changed(RECIPES["fast"], texts)
