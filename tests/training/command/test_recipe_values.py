"""The values that recipes have by themselves, as docs/training.md reports results with them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from training.fit.recipe import RECIPES, SETTLED, Recipe

SCHEMA1 = Path(__file__).resolve().parents[2] / "records" / "schema1"
FAST = {
    "epochs": 30,
    "batch_size": 64,
    "optimizer": "muon",
    "learning_rate": 0.1,
    "vector_rate": 0.1,
    "weight_decay": 0.001,
    "momentum": 0.95,
    "schedule": "one-cycle",
    "warmup": 0.2,
    "label_smoothing": 0.05,
    "ema": 0.02,
    "policy": "light",
    "mixup": 0.0,
    "cutmix": 0.0,
    "distill_weight": 0.0,
    "distill_temperature": 4.0,
    "clip": 0.0,
    "precision": "auto",
    "layout": "auto",
    "augment": "auto",
    "compile": "auto",
}
STANDARD = FAST | {"epochs": 100, "warmup": 0.1, "policy": "cutout"}
RECORD = FAST | {
    "epochs": 200,
    "batch_size": 256,
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "weight_decay": 0.02,
    "momentum": 0.9,
    "schedule": "cosine",
    "warmup": 0.02,
    "label_smoothing": 0.0,
    "policy": "mild",
    "mixup": 0.5,
}


@pytest.mark.parametrize(("name", "values"), [("fast", FAST), ("standard", STANDARD), ("record", RECORD)])
def test_a_named_recipe_has_the_values_of_its_results(name, values):
    found = RECIPES[name].to_json()
    assert {key: found[key] for key in values} == values


def test_what_a_recipe_does_not_name_is_off_or_usual():
    found = Recipe(name="bare", epochs=1, batch_size=2, learning_rate=0.1).to_json()
    off = ("weight_decay", "label_smoothing", "ema", "mixup", "cutmix", "distill_weight", "clip")
    assert {key: found[key] for key in off} == dict.fromkeys(off, 0.0)
    usual = {
        "optimizer": "sgd",
        "vector_rate": 0.1,
        "momentum": 0.9,
        "schedule": "one-cycle",
        "warmup": 0.2,
        "policy": "mild",
        "distill_temperature": 4.0,
        **dict.fromkeys(SETTLED, "auto"),
    }
    assert {key: found[key] for key in usual} == usual


def test_fast_is_the_recipe_that_commit_7dd195b_trained_with():
    then = json.loads((SCHEMA1 / "finished.json").read_text())["recipe"]
    now = replace(RECIPES["fast"], epochs=1).to_json()
    assert {key: now[key] for key in then if key not in SETTLED} == {
        key: then[key] for key in then if key not in SETTLED
    }
