import json
from dataclasses import replace

import pytest

from training.fit.recipe import RECIPES, Recipe, RecipeError


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("epochs", [1, 2, 500])
def test_every_length_of_a_recipe_is_a_recipe(name, epochs):
    assert replace(RECIPES[name], epochs=epochs).epochs == epochs


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("epochs", 0, "1 <= epochs"),
        ("epochs", 2.5, "1 <= epochs"),
        ("epochs", True, "1 <= epochs"),
        ("batch_size", 1, "2 <= batch_size"),
        ("learning_rate", -0.1, "0 < learning_rate"),
        ("learning_rate", float("nan"), "0 < learning_rate"),
        ("learning_rate", "fast", "0 < learning_rate"),
        ("weight_decay", -1e-4, "0 <= weight_decay < 1"),
        ("momentum", 1, "0 <= momentum < 1"),
        ("warmup", 1.5, "0 <= warmup < 1"),
        ("label_smoothing", 1.0, "0 <= label_smoothing < 1"),
        ("ema", 0.999 + 1, "0 <= ema < 1"),
        ("mixup", 0.6, "0 <= mixup <= 0.5"),
        ("cutmix", -0.1, "0 <= cutmix <= 0.5"),
        ("distill_weight", 1.1, "0 <= distill_weight <= 1"),
        ("distill_temperature", 0, "0 < distill_temperature <= 100"),
        ("clip", float("inf"), "0 <= clip <= 1e6"),
        pytest.param("epochs", 10**4_000, "1 <= epochs <= 100000", id="epochs of 4,000 digits"),
        pytest.param("batch_size", 10**4_000, "2 <= batch_size <= 1000000", id="batch of 4,000 digits"),
        ("optimizer", "lion", "optimizer in {"),
        ("schedule", "linear", "schedule in {one-cycle, cosine, step}"),
        ("step_every", 0, "0 < step_every <= 1"),
        ("step_factor", 1.5, "0 < step_factor <= 1"),
        ("small_share", 1.5, "0 <= small_share <= 1"),
        ("small_scale", 0, "0.1 <= small_scale <= 1"),
        ("policy", "wild", "policy in {none, light, cutout, mild, assignment, strong, crop, jitter}"),
        ("precision", "float16", "precision in {auto, float32, bfloat16}"),
        ("layout", "nhwc", "layout in {auto, channels_last, contiguous}"),
        ("augment", "cuda", "augment in {auto, cpu, gpu}"),
        ("compile", True, "compile in {auto, off, on, graphs}"),
        ("name", "", 'name != ""'),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(key, value, rule):
    with pytest.raises(RecipeError) as caught:
        Recipe.from_json({**RECIPES["fast"].to_json(), key: value})
    assert rule in str(caught.value)
    assert f"{key}={value!r}" in str(caught.value)


def test_a_recipe_of_an_earlier_version_is_read():
    """Keys that came later have a default that means what was done before."""
    value = RECIPES["fast"].to_json()
    for key in (
        "cutmix",
        "distill_weight",
        "distill_temperature",
        "augment",
        "compile",
        "step_every",
        "step_factor",
        "small_share",
        "small_scale",
    ):
        del value[key]
    assert Recipe.from_json(value) == RECIPES["fast"]


def test_an_unknown_key_is_named():
    with pytest.raises(RecipeError, match="recipe 'fast': unknown key 'lr'; known are name, epochs"):
        Recipe.from_json({**RECIPES["fast"].to_json(), "lr": 1})


def test_a_missing_key_is_named():
    value = RECIPES["fast"].to_json()
    del value["learning_rate"]
    with pytest.raises(RecipeError, match="recipe 'fast': the key 'learning_rate' is missing"):
        Recipe.from_json(value)


@pytest.mark.parametrize("value", [None, 3, "fast", [1]])
def test_something_else_than_an_object_is_refused(value):
    with pytest.raises(RecipeError, match="must be a JSON object"):
        Recipe.from_json(value)
