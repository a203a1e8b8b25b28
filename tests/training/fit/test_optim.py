from dataclasses import replace

import pytest
import torch
from torch import nn

from training.fit.ema import Ema, kept_by_average
from training.fit.optim import build_optimizer, learning_rate


def test_the_average_is_that_of_its_formula_buffers_included(weights, same):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).double()
    average = Ema(model, horizon=5)
    expected = weights(model)
    for step in range(30):
        with torch.no_grad():
            for value in model.state_dict().values():
                value.add_(1 + step) if value.is_floating_point() else value.add_(1)
        average.update()
        decay = min(1 - 1 / 5, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
    live = weights(model)
    with average.applied():
        for name, value in model.state_dict().items():
            wanted = expected[name] if value.is_floating_point() else live[name]
            assert torch.allclose(value, wanted, rtol=1e-12, atol=0)
    assert same(live, weights(model))


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_the_rate_climbs_to_its_peak_and_falls_to_nearly_zero(schedule, recipe):
    recipe = replace(recipe, schedule=schedule, warmup=0.25)
    rates = [learning_rate(recipe, step, 400) for step in range(400)]
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == rates[100] == pytest.approx(0.1)
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert 0 < rates[-1] < 0.001
    middle = learning_rate(recipe, 250, 400)
    assert middle == pytest.approx(0.05)


def test_the_rate_of_steps_is_that_of_torch(recipe):
    """SGD, StepLR every 15 epochs, 50 epochs: the schedule of a published network."""
    recipe = replace(recipe, schedule="step", warmup=0.0, step_every=0.3, step_factor=0.1)
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=recipe.learning_rate)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, step_size=15, gamma=0.1)
    for steps in (1, 7, 351):  # an epoch
        expected = []
        for _ in range(50):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            theirs.step()
        found = [learning_rate(recipe, epoch * steps, 50 * steps) for epoch in range(50)]
        assert found == pytest.approx(expected)
        ends = [learning_rate(recipe, (epoch + 1) * steps - 1, 50 * steps) for epoch in range(50)]
        assert ends == found
        optimizer.param_groups[0]["lr"] = recipe.learning_rate
        theirs = torch.optim.lr_scheduler.StepLR(optimizer, step_size=15, gamma=0.1)


def test_norms_and_biases_do_not_decay(network, recipe):
    optimizer = build_optimizer(network(), replace(recipe, weight_decay=0.1))
    decayed, spared = optimizer.param_groups
    assert [each.ndim for each in decayed["params"]] == [4, 2]
    assert decayed["weight_decay"] == 0.1
    assert [each.ndim for each in spared["params"]] == [1, 1, 1]
    assert spared["weight_decay"] == 0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_parameters_with_a_share_learn_at_that_share_of_the_rate(optimizer, network, recipe):
    model = network()
    slow = {name for name, _ in list(model.named_parameters())[:2]}
    built = build_optimizer(model, replace(recipe, optimizer=optimizer), dict.fromkeys(slow, 0.1))
    plain = build_optimizer(model, replace(recipe, optimizer=optimizer))
    built.step(0.3)
    plain.step(0.3)
    usual = {id(each): group["lr"] for group in plain.param_groups for each in group["params"]}
    found = {id(each): group["lr"] for group in built.param_groups for each in group["params"]}
    assert found.keys() == usual.keys()
    for name, value in model.named_parameters():
        assert found[id(value)] == pytest.approx(usual[id(value)] * (0.1 if name in slow else 1))


def test_the_average_keeps_no_copy_of_a_frozen_module_and_leaves_it_as_it_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    for frozen in model[:2]:
        frozen.requires_grad_(False)
    average = Ema(model, horizon=3)
    assert set(kept_by_average(model)) == {"3.weight", "3.bias"}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model[3].weight.add_(1)
    average.update()
    with average.applied():
        assert not torch.equal(model[3].weight, before["3.weight"] + 1)
        for name in ("0.weight", "1.running_mean", "1.num_batches_tracked"):
            assert torch.equal(model.state_dict()[name], before[name])
    assert torch.equal(model[3].weight, before["3.weight"] + 1)
