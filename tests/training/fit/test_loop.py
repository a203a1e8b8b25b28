import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from records.run import EpochRecord
from training.batches.follow_albumentations import Augmentation
from training.batches.mixing import draw_mix
from training.errors import TrainingError
from training.fit import checkpoint
from training.fit.evaluate import evaluate
from training.fit.loop import Progress, fit
from training.fit.recipe import RECIPES


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_network_learns(optimizer, network, dataset, recipe):
    model, validation = network(), dataset(150, seed=1)
    rate = {"sgd": 0.1, "adamw": 0.02, "muon": 0.05}[optimizer]
    recipe = replace(recipe, optimizer=optimizer, learning_rate=rate, epochs=6)
    before = evaluate(model, validation).accuracy
    history = fit(model, dataset(400), validation, recipe, seed=0)
    assert before < 0.7
    assert history.epochs[-1].val_accuracy is not None
    assert history.epochs[-1].val_accuracy > 0.9
    assert history.epochs[-1].val_accuracy == evaluate(model, validation).accuracy
    assert [record.epoch for record in history.epochs] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("policy", ["none", "assignment"])
def test_named_recipes_run_on_a_few_images(name, policy, network, dataset, recipe):
    recipe = replace(RECIPES[name], epochs=1, batch_size=16, policy=policy)
    history = fit(network(), dataset(40), dataset(20, seed=1), recipe, seed=0)
    assert math.isfinite(history.epochs[0].train_loss)
    assert "auto" not in (history.recipe.precision, history.recipe.layout)


def test_the_same_seed_gives_the_same_weights_whatever_the_workers(network, dataset, weights, same, recipe):
    results = []
    for workers in (0, 1, 3):
        model = network()
        fit(model, dataset(), None, recipe, seed=5, workers=workers, deterministic=True)
        results.append(weights(model))
    assert same(results[0], results[1])
    assert same(results[0], results[2])


def test_no_step_of_any_epoch_or_seed_repeats_the_draws_of_another(monkeypatch, network, dataset, recipe):
    """Of dropout and of mixing; those of augmentation are a function of each chunk's key."""
    seeds, states = [], []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)

    def noted(recipe, done, size, random):
        states.append(random.bit_generator.state["state"]["state"])
        return draw_mix(recipe, done, size, random)

    monkeypatch.setattr("training.fit.course.draw_mix", noted)
    models = network(), network()
    seeds.clear()
    for seed, model in enumerate(models):
        fit(model, dataset(), None, recipe, seed=seed)
    assert len(seeds) == len(set(seeds)) == 2 * 3 * 6
    assert len(states) == len(set(states)) == 2 * 3 * 6


def test_another_seed_gives_other_weights(network, dataset, weights, same, recipe):
    results = []
    for seed in (5, 6):
        model = network()
        fit(model, dataset(), None, recipe, seed=seed)
        results.append(weights(model))
    assert not same(*results)


def test_training_leaves_the_random_numbers_of_the_caller_alone(network, dataset, recipe):
    torch.manual_seed(1)
    expected = torch.rand(1)
    model = network()
    torch.manual_seed(1)
    fit(model, dataset(), None, replace(recipe, epochs=1), seed=0)
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_on_epoch_can_stop_the_run(network, dataset, recipe):
    seen: list[EpochRecord] = []

    def stop_after_two(record: EpochRecord) -> bool:
        seen.append(record)
        return len(seen) < 2

    history = fit(network(), dataset(), None, recipe, seed=0, on_epoch=stop_after_two)
    assert history.stopped
    assert history.epochs == tuple(seen)
    assert len(seen) == 2
    assert not fit(network(), dataset(), None, recipe, seed=0, on_epoch=lambda record: None).stopped


def test_progress_reaches_the_last_step_of_every_epoch(network, dataset, recipe):
    seen: list[Progress] = []
    fit(network(), dataset(), None, recipe, seed=0, progress=seen.append)
    assert [(each.epoch, each.step) for each in seen] == [(1, 6), (2, 6), (3, 6)]
    assert all(each.steps == 6 and each.epochs == 3 and each.images_per_second > 0 for each in seen)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    tmp_path, network, dataset, recipe
):
    path = tmp_path / "last.pt"
    model = network()

    def poison(record: EpochRecord) -> None:
        if record.epoch == 2:
            with torch.no_grad():
                model[0].weight.fill_(float("nan"))

    with pytest.raises(
        TrainingError, match=r"the loss became nan in epoch 3, step 1 of 6; try a learning_rate below"
    ):
        fit(model, dataset(), None, recipe, seed=0, checkpoint=path, on_epoch=poison)
    state, notice = checkpoint.load(path)
    assert notice is None
    assert len(state["epochs"]) == 2
    assert all(value.isfinite().all() for value in state["state_dict"].values())


def test_a_rate_far_too_high_is_reported_not_trained_through(dataset, recipe):
    recipe = replace(recipe, learning_rate=1000.0, warmup=0.0, epochs=40, momentum=0.99)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    with pytest.raises(TrainingError, match="the loss became"):
        fit(model, dataset(), None, recipe, seed=0)


def test_weights_that_are_not_finite_never_become_a_checkpoint(tmp_path, network, dataset, recipe):
    path = tmp_path / "last.pt"
    model = network()

    def poison(progress: Progress) -> None:
        if progress.epoch == 2:  # after the last step: its loss was fine
            with torch.no_grad():
                model[0].weight.fill_(float("inf"))

    with pytest.raises(TrainingError, match="the weights became infinite or NaN by epoch 2; try a learning"):
        fit(model, dataset(), None, recipe, seed=0, checkpoint=path, progress=poison)
    assert len(checkpoint.load(path)[0]["epochs"]) == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:125] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB, max allowed: 9.07 GB)"),
    ],
    ids=["gpu", "python", "cpu", "apple"],
)
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_too_little_memory_suggests_half_the_batch(error, precision, dataset, recipe):
    class Hungry(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise error

    model = nn.Sequential(nn.Flatten(), Hungry(768, 3))
    with pytest.raises(TrainingError, match="cpu ran out of memory with batches of 32; try batch_size 16"):
        fit(model, dataset(), None, replace(recipe, precision=precision), seed=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_too_little_memory_for_augmentation_says_so_too(workers, monkeypatch, network, dataset, recipe):
    def fail(self: Augmentation, images: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(Augmentation, "__call__", fail)
    with pytest.raises(TrainingError, match="cpu ran out of memory with batches of 32; try batch_size 16"):
        fit(network(), dataset(), None, recipe, seed=0, workers=workers)


def test_fewer_images_than_a_batch_are_refused_before_anything_is_measured(network, dataset, recipe):
    model = network()
    model.register_forward_pre_hook(lambda *_: pytest.fail("a step was tried"))
    recipe = replace(recipe, batch_size=201, precision="auto")
    with pytest.raises(TrainingError, match="200 training images are fewer than one batch of 201"):
        fit(model, dataset(), None, recipe, seed=0)


def test_a_mask_of_infinities_is_no_damage(tmp_path, dataset, recipe):
    class Masked(nn.Linear):
        def __init__(self) -> None:
            super().__init__(768, 3)
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf, 0.0]))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert not self.mask.isnan().any()
            return super().forward(images)

    model = nn.Sequential(nn.Flatten(), Masked())
    history = fit(model, dataset(), dataset(50), recipe, seed=0, checkpoint=tmp_path / "last.pt")
    assert len(history.epochs) == 3
    assert model[1].mask.tolist() == [0.0, -torch.inf, 0.0]


def test_other_errors_of_a_network_are_not_taken_for_too_little_memory(dataset, recipe):
    class Broken(nn.Flatten):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(nn.Sequential(Broken(), nn.Linear(768, 3)), dataset(), None, recipe, seed=0)


def test_a_teacher_that_knows_helps_a_student_whose_labels_are_wrong(network, dataset, recipe):
    teacher, validation = network(), dataset(150, seed=1)
    fit(teacher, dataset(400), None, replace(recipe, epochs=6), seed=0)
    train = dataset(400)
    wrong = replace(train, labels=np.random.default_rng(42).integers(0, 3, 400))
    recipe = replace(recipe, epochs=6, policy="none")
    alone, taught = network(1), network(1)
    fit(alone, wrong, None, recipe, seed=0)
    fit(taught, wrong, None, replace(recipe, distill_weight=0.95), seed=0, teacher=teacher)
    assert evaluate(taught, validation).accuracy > 0.9 > evaluate(alone, validation).accuracy


def test_augmentation_by_torch_trains_as_that_of_the_library(network, dataset, recipe):
    """The same draws, pixels within one grey level: the losses are nearly the same."""
    losses = []
    for augment in ("cpu", "gpu"):
        recipe = replace(recipe, augment=augment, policy="strong")
        history = fit(network(), dataset(), None, recipe, seed=3, deterministic=True)
        assert history.recipe.augment == augment
        losses.append([each.train_loss for each in history.epochs])
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_smaller_images_come_first_and_those_that_cannot_be_read_are_refused(network, dataset, recipe):
    """The first of three epochs at 8 of 16 pixels; a network that is refused is left as it was."""
    recipe = replace(recipe, epochs=3, small_share=0.3, small_scale=0.5)
    sizes: list[tuple[int, ...]] = []
    model = network()
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape[2:])))
    fit(model, dataset(40), dataset(20, 1), recipe, seed=0)
    in_training = [size for size in sizes if size == (8, 8)]
    assert (8, 8) not in sizes[sizes.index((16, 16), sizes.index((8, 8))) :]
    assert len(in_training) >= 2

    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    before = fixed[1].weight.detach().clone()
    with pytest.raises(TrainingError, match=r"cannot read images of 8x8 pixels \(.*\); use small_share=0"):
        fit(fixed, dataset(40), None, recipe, seed=0)
    assert torch.equal(before, fixed[1].weight)


def test_other_classes_in_validation_are_refused(network, dataset, recipe):
    validation = replace(dataset(20), classes=("red", "green", "yellow"))
    with pytest.raises(TrainingError, match="different classes"):
        fit(network(), dataset(), validation, recipe, seed=0)


def test_a_run_of_two_short_epochs_is_not_judged_by_its_random_start(network, dataset, recipe):
    """With a fixed decay of 0.999 the average of so few steps would be the start."""
    model, validation = network(), dataset(100, seed=1)
    recipe = replace(recipe, epochs=2, ema=0.02)
    fit(model, dataset(400), None, recipe, seed=0)
    averaged = evaluate(model, validation).accuracy
    plain = network()
    fit(plain, dataset(400), None, replace(recipe, ema=0.0), seed=0)
    assert averaged >= evaluate(plain, validation).accuracy - 0.05


def test_a_network_without_parameters_is_refused(dataset, recipe):
    with pytest.raises(TrainingError, match="no parameter to train"):
        fit(nn.Flatten(), dataset(), None, recipe, seed=0)
