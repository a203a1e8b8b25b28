from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from training.errors import TrainingError
from training.fit.recipe import Recipe
from training.transfer.stages import BACKBONE_SHARE, Snapshot, Stage
from training.transfer.tail import Maps, Unfreezing, answers, fit_tail, held_out_answers

RECIPE = Recipe(
    name="t", epochs=6, batch_size=16, optimizer="adamw", learning_rate=0.02, schedule="cosine", policy="none"
)


def maps(count: int = 100, seed: int = 0) -> Maps:
    random = np.random.Generator(np.random.PCG64(seed))
    labels = random.integers(0, 2, count)
    plain = random.normal(size=(count, 5)).astype(np.float32) + labels[:, None]
    return Maps(plain, labels, plain[:, ::-1].copy())


def tail(seed: int = 1) -> list[Stage]:
    torch.manual_seed(seed)
    body, head = nn.Linear(5, 5), nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 2))
    body.requires_grad_(False)
    return [Stage("body", (body,), body), Stage("head", (head,), head)]


def state(stages: list[Stage]) -> list[torch.Tensor]:
    return [each.detach().clone() for stage in stages for each in stage.parameters()]


def test_a_seed_repeats_it_to_the_bit():
    first, second, other = tail(), tail(), tail()
    done = fit_tail(first, maps(), RECIPE, seed=4)
    fit_tail(second, maps(), RECIPE, seed=4)
    fit_tail(other, maps(), RECIPE, seed=5)
    assert all(map(torch.equal, state(first), state(second)))
    assert not all(map(torch.equal, state(first), state(other)))
    assert len(done.losses) == 6 * 6
    assert done.epochs[-1].train_loss < done.epochs[0].train_loss


def test_it_learns_what_the_maps_tell_apart():
    stages, test = tail(), maps(400, seed=9)
    fit_tail(stages, maps(400), replace(RECIPE, epochs=30, learning_rate=0.05), seed=4)
    # Two Gaussians a distance of sqrt(5) apart: the best any classifier reaches is Phi(sqrt(5) / 2) = 86.8 %.
    assert (answers(stages, test).argmax(1) == test.labels).mean() > 0.8


def test_what_is_frozen_stays_until_its_epoch():
    stages = tail()
    before = state(stages[:1])
    fit_tail(stages, maps(), RECIPE, seed=0)
    assert all(map(torch.equal, state(stages[:1]), before))
    fit_tail(stages, maps(), RECIPE, seed=0, unfreezing=Unfreezing(stages=1, epoch=3))
    assert not any(map(torch.equal, state(stages[:1]), before))


def test_answers_are_without_dropout_and_leave_the_mode():
    stages = tail()
    stages[-1].modules[0].train()
    one, two = answers(stages, maps()), answers(stages, maps(), batch_size=7)
    assert np.allclose(one, two)
    assert stages[-1].modules[0].training


def test_an_epoch_can_end_it():
    done = fit_tail(tail(), maps(), RECIPE, seed=0, on_epoch=lambda record: record.epoch < 2)
    assert done.stopped
    assert len(done.epochs) == 2


def test_every_step_is_reported_and_validation_is_kept():
    seen = []
    done = fit_tail(
        tail(), maps(), RECIPE, seed=0, judge=lambda: (0.5, 0.75), on_step=lambda *each: seen.append(each)
    )
    assert [each[:2] for each in seen[:7]] == [(1, n) for n in range(1, 7)] + [(2, 1)]
    assert done.epochs[0].val_accuracy == 0.75


def test_few_images_make_one_batch_and_one_is_too_few():
    assert len(fit_tail(tail(), maps(5), RECIPE, seed=0).losses) == 6
    with pytest.raises(TrainingError, match="a head needs two or more"):
        fit_tail(tail(), maps(1), RECIPE, seed=0)


def test_a_loss_that_is_not_finite_is_one_line():
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1, step 1 of 6"):
        fit_tail(
            tail(),
            replace(maps(), plain=np.full((100, 5), np.nan, np.float32), mirrored=None),
            RECIPE,
            seed=0,
        )


@pytest.mark.parametrize("balance", ["loss", "sample"])
def test_balance_helps_the_small_class(balance):
    random = np.random.Generator(np.random.PCG64(0))
    labels = np.repeat([0, 1], [380, 20])
    plain = random.normal(size=(400, 5)).astype(np.float32) + labels[:, None] * 0.6
    test = maps(400, seed=3)
    test = replace(test, plain=test.plain - 0.4 * test.labels[:, None].astype(np.float32))
    found = {}
    for each in ("none", balance):
        stages = tail()
        fit_tail(stages, Maps(plain, labels), replace(RECIPE, epochs=15, balance=each), seed=2)
        small = test.labels == 1
        found[each] = (answers(stages, test).argmax(1)[small] == 1).mean()
    assert found[balance] > found["none"] + 0.3


def longer_tail() -> list[Stage]:
    torch.manual_seed(1)
    bodies = [nn.Linear(5, 5) for _ in range(3)]
    head = nn.Linear(5, 2)
    for body in bodies:
        body.requires_grad_(False)
    return [
        *(Stage(f"body{n}", (body,), body) for n, body in enumerate(bodies)),
        Stage("head", (head,), head),
    ]


def moved(before: list[list[torch.Tensor]], stages: list[Stage]) -> list[bool]:
    return [not all(map(torch.equal, one, state([stage]))) for one, stage in zip(before, stages, strict=True)]


def test_stages_train_from_the_start_or_join_from_behind():
    """Of four stages the last but one trains at once, the second joins, the first stays frozen."""
    seen = []
    stages = longer_tail()
    stages[2].modules[0].requires_grad_(True)
    before = [state([stage]) for stage in stages]
    fit_tail(
        stages,
        maps(),
        RECIPE,
        seed=0,
        trained=1,
        unfreezing=Unfreezing(stages=1, epoch=3),
        on_epoch=lambda record: seen.append(moved(before, stages)),
    )
    assert seen[0] == seen[1] == [False, False, True, True]
    assert seen[2] == seen[-1] == [False, True, True, True]


def test_the_backbone_learns_at_a_share_of_the_heads_rate():
    """AdamW's first step is the rate itself, whatever the gradient."""
    stages = longer_tail()
    stages[2].modules[0].requires_grad_(True)
    before = [state([stage]) for stage in stages]
    recipe = replace(RECIPE, epochs=1, batch_size=100, weight_decay=0.0)
    rate = fit_tail(stages, maps(), recipe, seed=0, trained=1).epochs[0].learning_rate
    steps = [
        float((state([stage])[0] - one[0]).abs().max()) for stage, one in zip(stages, before, strict=True)
    ]
    assert steps[3] == pytest.approx(rate, rel=1e-3)
    assert steps[2] == pytest.approx(rate * BACKBONE_SHARE, rel=1e-3)


def test_held_out_answers_come_from_tails_that_did_not_learn_from_them_and_leave_the_tail():
    """Labels at random: who has seen a photograph answers it right, who has not is right by chance."""
    random = np.random.Generator(np.random.PCG64(5))
    plain = random.normal(size=(60, 200)).astype(np.float32)
    learned = Maps(plain, random.integers(0, 2, 60))
    torch.manual_seed(0)
    body, head = nn.Linear(200, 200), nn.Linear(200, 2)
    body.requires_grad_(False)
    stages = [Stage("body", (body,), body), Stage("head", (head,), head)]
    start, recipe = Snapshot(stages), replace(RECIPE, epochs=20)
    joins = Unfreezing(stages=1, epoch=2)
    fit_tail(stages, learned, recipe, seed=0, unfreezing=joins)
    trained = state(stages)
    assert (answers(stages, learned).argmax(1) == learned.labels).mean() == 1
    crossed = held_out_answers(stages, learned, recipe, seed=0, start=start, folds=3, unfreezing=joins)
    assert (crossed.argmax(1) == learned.labels).mean() < 0.75
    assert all(map(torch.equal, state(stages), trained))
    # A second time to the same bits: each training begins at the same start, nothing unfrozen.
    again = held_out_answers(stages, learned, recipe, seed=0, start=start, folds=3, unfreezing=joins)
    assert (crossed == again).all()
