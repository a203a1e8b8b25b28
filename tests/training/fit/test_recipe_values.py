"""The numbers of recipes, written a second time: a slip in one changes every figure measured with it."""

import dataclasses

import pytest
import torch
from torch import nn

from training.fit.optim import build_optimizer
from training.fit.recipe import RECIPES, Recipe, named

DEFAULTS = {
    "optimizer": "sgd",
    "vector_rate": 0.1,
    "weight_decay": 0.0,
    "momentum": 0.9,
    "schedule": "one-cycle",
    "step_every": 0.3,
    "step_factor": 0.1,
    "small_share": 0.0,
    "small_scale": 0.625,
    "warmup": 0.2,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "policy": "mild",
    "mixup": 0.0,
    "cutmix": 0.0,
    "distill_weight": 0.0,
    "distill_temperature": 4.0,
    "balance": "none",
    "clip": 0.0,
    "precision": "auto",
    "layout": "auto",
    "augment": "auto",
    "compile": "auto",
}
MUON = {
    "batch_size": 64,
    "optimizer": "muon",
    "learning_rate": 0.1,
    "vector_rate": 0.1,
    "weight_decay": 0.001,
    "momentum": 0.95,
    "label_smoothing": 0.05,
    "ema": 0.02,
}
NAMED = {
    "fast": MUON | {"epochs": 30, "policy": "light"},
    "standard": MUON | {"epochs": 100, "warmup": 0.1, "policy": "cutout"},
    "record": {
        "epochs": 200,
        "batch_size": 256,
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "weight_decay": 0.02,
        "schedule": "cosine",
        "warmup": 0.02,
        "ema": 0.02,
        "mixup": 0.5,
    },
    "transfer": {
        "epochs": 20,
        "batch_size": 64,
        "optimizer": "adamw",
        "learning_rate": 0.003,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup": 0.15,
        "policy": "none",
    },
    "published-transpose": {
        "epochs": 113,
        "batch_size": 128,
        "learning_rate": 0.05,
        "weight_decay": 0.0005,
        "policy": "assignment",
    },
    "published-dilated": {
        "epochs": 50,
        "batch_size": 128,
        "learning_rate": 0.05,
        "weight_decay": 0.0005,
        "schedule": "step",
        "warmup": 0.0,
        "policy": "jitter",
    },
}


def test_what_a_recipe_does_not_name_is_off_or_plain():
    given = {"name": "x", "epochs": 1, "batch_size": 2, "learning_rate": 0.1}
    assert dataclasses.asdict(Recipe(**given)) == given | DEFAULTS


def test_every_recipe_is_written_a_second_time():
    assert RECIPES.keys() == NAMED.keys()


@pytest.mark.parametrize("name", NAMED)
def test_the_named_recipes_are_those_that_figures_were_measured_with(name):
    assert dataclasses.asdict(RECIPES[name]) == {"name": name} | DEFAULTS | NAMED[name]


def test_named_recipes_have_a_form_for_a_gpu():
    assert {name: named(name, "cpu") for name in RECIPES} == RECIPES
    muon = {"batch_size": 512, "learning_rate": 0.2, "vector_rate": 0.4, "weight_decay": 0.003}
    changed = {
        "fast": muon | {"epochs": 40, "policy": "cutout"},
        "standard": muon | {"epochs": 150},
        "record": {"batch_size": 512, "learning_rate": 0.014},
    }
    for name, recipe in RECIPES.items():
        assert named(name, "cuda") == dataclasses.replace(recipe, **changed.get(name, {}))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_weight_decay_reaches_kernels_as_it_is_and_nothing_else(optimizer):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=4))
    recipe = dataclasses.replace(RECIPES["fast"], optimizer=optimizer, weight_decay=0.03)
    decays = {
        id(parameter): group["weight_decay"]
        for group in build_optimizer(model, recipe).param_groups
        for parameter in group["params"]
    }
    found = {name: decays[id(parameter)] for name, parameter in model.named_parameters()}
    kernels = {"0.weight": 0.03, "2.weight": 0.03}
    assert found == dict.fromkeys(found, 0.0) | kernels


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_decoupled_decay_shrinks_a_kernel_by_its_share(optimizer):
    """Without a gradient's pull, a step at rate r takes r * decay of the weights away."""
    layer = nn.Conv2d(3, 4, 3, bias=False)
    before = layer.weight.detach().clone()
    recipe = dataclasses.replace(RECIPES["fast"], optimizer=optimizer, learning_rate=0.5, weight_decay=0.04)
    made = build_optimizer(layer, recipe)
    layer.weight.grad = torch.zeros_like(layer.weight)
    made.step(0.5)
    assert torch.allclose(layer.weight, before * (1 - 0.5 * 0.04))
