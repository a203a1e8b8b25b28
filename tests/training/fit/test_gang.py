"""A gang on a CPU: each member becomes what it would alone, whatever happens to the others."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from training.errors import TrainingError
from training.fit.evaluate import evaluate
from training.fit.gang import EpochEnded, Gang, GangBrokenError, MemberEnded
from training.fit.graphs import WARMUPS
from training.fit.loop import fit


def together(gang: Gang) -> dict:
    """Train all members to their end; return their events by key."""
    events: dict = {key: [] for key in gang.running}
    while gang.running:
        for event in gang.round():
            events[event.key].append(event)
    return events


@pytest.fixture
def graphs_here(monkeypatch):
    """compile=graphs on a CPU; returns a list with an entry for every recording."""
    recordings = []

    def capture(compute):
        recordings.append(compute)
        for _ in range(WARMUPS):
            compute()
        return compute, ()

    monkeypatch.setattr("training.fit.device._compile", lambda asked, device: asked)
    monkeypatch.setattr("training.fit.engine.record_on_cuda", capture)
    return recordings


@pytest.mark.parametrize("way", ["off", "graphs"])
def test_members_become_what_they_are_alone(way, graphs_here, network, dataset, weights, same, recipe):
    augment = "gpu" if way == "graphs" else "cpu"
    recipe = replace(recipe, compile=way, augment=augment, policy="light", mixup=0.2)
    recipes = [recipe, replace(recipe, optimizer="muon"), replace(recipe, epochs=2, batch_size=20)]
    train, validation = dataset(), dataset(50, seed=1)
    gang = Gang(train, validation, size=3)
    members = [network(number) for number in range(3)]
    for number, (member, each) in enumerate(zip(members, recipes, strict=True)):
        gang.submit(number, member, each, seed=number // 2)
    assert gang.free == 0
    events = together(gang)
    assert gang.free == 3
    for number, each in enumerate(recipes):
        alone = network(number)
        history = fit(alone, train, validation, each, seed=number // 2)
        assert same(weights(alone), weights(members[number]))
        *epochs, end = events[number]
        assert isinstance(end, MemberEnded)
        assert (end.state, end.reason, end.recipe) == ("complete", None, history.recipe)
        assert [replace(event.record, seconds=0.0) for event in epochs] == [
            replace(record, seconds=0.0) for record in history.epochs
        ]
        assert end.epochs == tuple(event.record for event in epochs)
    if way == "graphs":
        assert len(graphs_here) == 3 + 3


def test_losses_are_those_of_each_validation_image(network, dataset, recipe):
    validation = dataset(50, seed=1)
    gang, model = Gang(dataset(), validation), network()
    gang.submit("a", model, recipe, seed=0)
    events = together(gang)["a"]
    for event in events[:-1]:
        assert isinstance(event, EpochEnded)
        assert event.losses.shape == (50,)
        assert event.losses.mean() == pytest.approx(event.record.val_loss, rel=1e-6)
    judged = evaluate(model, validation)
    rows = torch.from_numpy(judged.probabilities).log()
    expected = nn.functional.nll_loss(rows, torch.from_numpy(judged.labels), reduction="none")
    assert np.allclose(events[-1].losses, expected.numpy(), atol=1e-6)


def test_without_validation_there_are_no_losses(network, dataset, recipe):
    gang = Gang(dataset(), None)
    gang.submit("a", network(), replace(recipe, epochs=1), seed=0)
    (epoch, end) = gang.round()
    assert epoch.losses is None
    assert epoch.record.val_loss is None
    assert end.losses is None


def poisoned(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    return model


class Raising(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.weight, self.error = nn.Parameter(torch.zeros(3)), error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda model: poisoned(model), "the loss became nan in epoch 1, step 1 of 6"),
        (lambda model: nn.Sequential(nn.Conv2d(3, 5, 16), nn.Flatten()), "answers with shape (5,) an image"),
        (lambda model: nn.Flatten(), "the network has no parameter to train"),
        (lambda model: Raising(ValueError("of its\nown")), "of its own"),
        (lambda model: Raising(MemoryError()), "cpu ran out of memory with batches of 32; try batch_size 16"),
    ],
    ids=["NaN", "classes", "nothing to train", "its own error", "memory"],
)
@pytest.mark.parametrize("way", ["off", "graphs"])
def test_a_member_that_fails_fails_alone(
    way, wrong, reason, graphs_here, network, dataset, weights, same, recipe
):
    recipe = replace(recipe, compile=way, augment="gpu" if way == "graphs" else "cpu")
    train = dataset()
    gang = Gang(train, None, size=2)
    good, bad = network(), wrong(network(1))
    gang.submit("bad", bad, recipe, seed=0)
    gang.submit("good", good, recipe, seed=0)
    events = together(gang)
    (failed,) = events["bad"]
    assert failed.state == "failed"
    assert reason in failed.reason
    assert "\n" not in failed.reason
    assert events["good"][-1].state == "complete"
    alone = network()
    fit(alone, train, None, recipe, seed=0)
    assert same(weights(alone), weights(good))


def test_a_member_can_be_stopped_and_its_place_is_free(network, dataset, weights, same, recipe):
    train, validation = dataset(), dataset(50, seed=1)
    gang, model = Gang(train, validation), network()
    gang.submit("a", model, recipe, seed=0)
    (epoch,) = gang.round()
    gang.stop("a")
    gang.stop("nobody")
    (end,) = gang.round()
    assert (end.key, end.state, end.epochs) == ("a", "stopped", (epoch.record,))
    assert gang.free == 1
    alone = network()
    fit(alone, train, validation, recipe, seed=0, on_epoch=lambda record: False)
    assert same(weights(alone), weights(model))  # the averages, as `fit` leaves them


def test_a_member_that_comes_later_is_not_changed_by_it(network, dataset, weights, same, recipe):
    train = dataset()
    gang, late = Gang(train, None, size=2), network(1)
    gang.submit("a", network(), recipe, seed=0)
    gang.round()
    gang.submit("b", late, recipe, seed=0)
    together(gang)
    alone = network(1)
    fit(alone, train, None, recipe, seed=0)
    assert same(weights(alone), weights(late))


def test_members_of_one_seed_share_their_images(graphs_here, network, dataset, recipe):
    recipe = replace(recipe, compile="graphs", augment="gpu")
    gang = Gang(dataset(), None, size=4)
    for key, seed in (("a", 0), ("b", 0), ("c", 1)):
        gang.submit(key, network(), recipe, seed=seed)
    gang.round()
    assert len(gang._pools) == 2
    gang.stop("c")
    gang.round()
    gang.submit("d", network(), recipe, seed=2)
    gang.round()
    assert sorted(key[-1] for key in gang._pools) == [0, 2]  # nobody reads those of seed 1
    gang.close()
    assert gang.running == ()


def test_a_notice_names_its_member(monkeypatch, graphs_here, network, dataset, recipe):
    def refuse(compute):
        raise RuntimeError("reads a value")

    monkeypatch.setattr("training.fit.engine.record_on_cuda", refuse)
    gang = Gang(dataset(), None)
    gang.submit("a", network(), replace(recipe, compile="graphs", augment="gpu", epochs=1), seed=0)
    gang.round()
    ((key, text),) = gang.notices()
    assert key == "a"
    assert "cannot be recorded as a CUDA graph (reads a value)" in text
    assert gang.notices() == []


def test_a_context_that_is_broken_fails_all(monkeypatch, network, dataset, recipe):
    def broken() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    gang = Gang(dataset(), None, size=2)
    for key in "ab":
        gang.submit(key, network(), recipe, seed=0)
    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    with pytest.raises(GangBrokenError, match="trained again one by one, in a process each") as caught:
        gang._refuse_broken(RuntimeError("CUDA error"))
    assert caught.value.keys == ("a", "b")


def test_wrong_calls_are_named(network, dataset, recipe):
    with pytest.raises(TrainingError, match="`size >= 1` must hold, but got size=0"):
        Gang(dataset(), None, size=0)
    with pytest.raises(TrainingError, match="have different classes"):
        Gang(dataset(), replace(dataset(), classes=("a", "b", "c")))
    gang = Gang(dataset(), None, size=2)
    gang.submit("a", network(), recipe, seed=0)
    with pytest.raises(TrainingError, match="has a member 'a' already"):
        gang.submit("a", network(), recipe, seed=0)
    gang.submit("b", network(), recipe, seed=0)
    with pytest.raises(TrainingError, match="all 2 places of the gang are taken"):
        gang.submit("c", network(), recipe, seed=0)
