import math
import os
import random
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from records.run import EpochRecord
from training import checkpoint
from training.checkpoint import CheckpointError
from training.device import settle
from training.errors import TrainingError
from training.evaluate import evaluate
from training.loop import Progress, fit
from training.optim import Ema, build_optimizer, learning_rate
from training.recipe import RECIPES, Recipe
from training.samples import Samples

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe(
    name="test",
    epochs=3,
    batch_size=32,
    learning_rate=0.1,
    ema=0.1,
    precision="float32",
    layout="channels_last",
)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def dataset(count: int = 200, seed: int = 0) -> Samples:
    """Three classes of noise about three colours: learnt in seconds, not at once."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    colours = np.array([[150, 110, 110], [110, 150, 110], [110, 110, 150]])[labels]
    noise = random.normal(0, 60, (count, 16, 16, 3))
    images = (colours[:, None, None] + noise).clip(0, 255).astype(np.uint8)
    return Samples(images, labels, ("red", "green", "blue"), (123.0,) * 3, (60.0,) * 3)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_network_learns(optimizer):
    model, validation = network(), dataset(150, seed=1)
    rate = {"sgd": 0.1, "adamw": 0.02, "muon": 0.05}[optimizer]
    recipe = replace(RECIPE, optimizer=optimizer, learning_rate=rate, epochs=6)
    before = evaluate(model, validation).accuracy
    history = fit(model, dataset(400), validation, recipe, seed=0)
    assert before < 0.7
    assert history.epochs[-1].val_accuracy is not None
    assert history.epochs[-1].val_accuracy > 0.9
    assert history.epochs[-1].val_accuracy == evaluate(model, validation).accuracy
    assert [record.epoch for record in history.epochs] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("policy", ["none", "assignment"])
def test_named_recipes_run_on_a_few_images(name, policy):
    recipe = replace(RECIPES[name], epochs=1, batch_size=16, policy=policy)
    history = fit(network(), dataset(40), dataset(20, seed=1), recipe, seed=0)
    assert math.isfinite(history.epochs[0].train_loss)
    assert "auto" not in (history.recipe.precision, history.recipe.layout)


def test_the_same_seed_gives_the_same_weights_whatever_the_workers():
    results = []
    for workers in (0, 1, 3):
        model = network()
        fit(model, dataset(), None, RECIPE, seed=5, workers=workers, deterministic=True)
        results.append(weights(model))
    assert same(results[0], results[1])
    assert same(results[0], results[2])


def test_another_seed_gives_other_weights():
    results = []
    for seed in (5, 6):
        model = network()
        fit(model, dataset(), None, RECIPE, seed=seed)
        results.append(weights(model))
    assert not same(*results)


def test_training_leaves_the_random_numbers_of_the_caller_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    model = network()
    torch.manual_seed(1)
    fit(model, dataset(), None, replace(RECIPE, epochs=1), seed=0)
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_on_epoch_can_stop_the_run():
    seen: list[EpochRecord] = []

    def stop_after_two(record: EpochRecord) -> bool:
        seen.append(record)
        return len(seen) < 2

    history = fit(network(), dataset(), None, RECIPE, seed=0, on_epoch=stop_after_two)
    assert history.stopped
    assert history.epochs == tuple(seen)
    assert len(seen) == 2
    assert not fit(network(), dataset(), None, RECIPE, seed=0, on_epoch=lambda record: None).stopped


def test_progress_reaches_the_last_step_of_every_epoch():
    seen: list[Progress] = []
    fit(network(), dataset(), None, RECIPE, seed=0, progress=seen.append)
    assert [(each.epoch, each.step) for each in seen] == [(1, 6), (2, 6), (3, 6)]
    assert all(each.steps == 6 and each.epochs == 3 and each.images_per_second > 0 for each in seen)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    model = network()

    def poison(record: EpochRecord) -> None:
        if record.epoch == 2:
            with torch.no_grad():
                model[0].weight.fill_(float("nan"))

    with pytest.raises(
        TrainingError, match=r"the loss became nan in epoch 3, step 1 of 6; try a learning_rate below"
    ):
        fit(model, dataset(), None, RECIPE, seed=0, checkpoint=path, on_epoch=poison)
    state, notice = checkpoint.load(path)
    assert notice is None
    assert len(state["epochs"]) == 2
    assert all(value.isfinite().all() for value in state["state_dict"].values())


def test_a_rate_far_too_high_is_reported_not_trained_through():
    recipe = replace(RECIPE, learning_rate=1000.0, warmup=0.0, epochs=40, momentum=0.99)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    with pytest.raises(TrainingError, match="the loss became"):
        fit(model, dataset(), None, recipe, seed=0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path, optimizer, stop):
    recipe = replace(RECIPE, optimizer=optimizer, learning_rate=0.02, mixup=0.2, clip=1.0)
    whole = network()
    history = fit(whole, dataset(), dataset(50, seed=1), recipe, seed=3, deterministic=True)

    def break_off(record: EpochRecord) -> None:
        if record.epoch == stop:
            raise KeyboardInterrupt

    arguments = {"seed": 3, "deterministic": True, "checkpoint": tmp_path / "last.pt"}
    with pytest.raises(KeyboardInterrupt):
        fit(network(), dataset(), dataset(50, seed=1), recipe, on_epoch=break_off, **arguments)
    resumed = network(seed=99)
    again = fit(resumed, dataset(), dataset(50, seed=1), recipe, resume=True, workers=0, **arguments)
    assert same(weights(whole), weights(resumed))
    figures = [[(each.train_loss, each.val_loss) for each in run.epochs] for run in (history, again)]
    assert figures[0] == figures[1]


def break_off_at(number: int):
    """A `stop` that says yes at the `number`th time it is asked, and from then on."""
    asked = iter(range(1, 1_000_000))
    return lambda: next(asked) >= number


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("step", [1, 3, 5, 8, 17])
def test_a_run_told_to_stop_within_an_epoch_goes_on_at_that_very_step(tmp_path, optimizer, step):
    changes = {"mixup": 0.2, "cutmix": 0.2, "clip": 1.0, "learning_rate": 0.02, "policy": "none"}
    recipe = replace(RECIPE, optimizer=optimizer, **changes)
    whole = network()
    history = fit(whole, dataset(), None, recipe, seed=3, deterministic=True)
    path = tmp_path / "last.pt"
    arguments = {"seed": 3, "deterministic": True, "checkpoint": path}
    broken = fit(network(), dataset(), None, recipe, stop=break_off_at(step), **arguments)
    assert broken.stopped
    assert len(broken.epochs) == (step - 1) // 6  # asked after 5 of 6 steps, and once at the end
    partial = checkpoint.load(path)[0]["partial"]
    assert partial["step"] == (step - 1) % 6 + 1
    resumed = network(seed=99)
    again = fit(resumed, dataset(), None, recipe, resume=True, workers=1, **arguments)
    assert same(weights(whole), weights(resumed))
    assert [each.train_loss for each in history.epochs] == [each.train_loss for each in again.epochs]
    assert [each.train_accuracy for each in history.epochs] == [each.train_accuracy for each in again.epochs]


def test_a_run_is_saved_within_an_epoch_when_the_time_has_come(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(checkpoint, "save", lambda path, state: saved.append(state["partial"]))
    recipe = replace(RECIPE, epochs=2, policy="none")
    fit(network(), dataset(), None, recipe, seed=0, checkpoint=tmp_path / "last.pt", save_every=0.0)
    assert [each and each["step"] for each in saved] == [1, 2, 3, 4, 5, None] * 2
    saved.clear()
    fit(network(), dataset(), None, recipe, seed=0, checkpoint=tmp_path / "last.pt", save_every=600.0)
    assert saved == [None, None]


def test_weights_that_are_not_finite_never_become_a_checkpoint(tmp_path):
    path = tmp_path / "last.pt"
    model = network()

    def poison(progress: Progress) -> None:
        if progress.epoch == 2:  # after the last step: its loss was fine
            with torch.no_grad():
                model[0].weight.fill_(float("inf"))

    with pytest.raises(TrainingError, match="the weights became infinite or NaN by epoch 2; try a learning"):
        fit(model, dataset(), None, RECIPE, seed=0, checkpoint=path, progress=poison)
    assert len(checkpoint.load(path)[0]["epochs"]) == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:125] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["gpu", "python", "cpu"],
)
def test_too_little_memory_suggests_half_the_batch(error):
    class Hungry(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise error

    model = nn.Sequential(nn.Flatten(), Hungry(768, 3))
    with pytest.raises(TrainingError, match="cpu ran out of memory with batches of 32; try batch_size 16"):
        fit(model, dataset(), None, RECIPE, seed=0)


def test_other_errors_of_a_network_are_not_taken_for_too_little_memory():
    class Broken(nn.Flatten):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(nn.Sequential(Broken(), nn.Linear(768, 3)), dataset(), None, RECIPE, seed=0)


def test_a_teacher_that_knows_helps_a_student_whose_labels_are_wrong():
    teacher, validation = network(), dataset(150, seed=1)
    fit(teacher, dataset(400), None, replace(RECIPE, epochs=6), seed=0)
    train = dataset(400)
    wrong = replace(train, labels=np.random.default_rng(42).integers(0, 3, 400))
    recipe = replace(RECIPE, epochs=6, policy="none")
    alone, taught = network(1), network(1)
    fit(alone, wrong, None, recipe, seed=0)
    fit(taught, wrong, None, replace(recipe, distill_weight=0.95), seed=0, teacher=teacher)
    assert evaluate(taught, validation).accuracy > 0.9 > evaluate(alone, validation).accuracy


def test_a_resumed_run_needs_the_same_teacher(tmp_path):
    recipe = replace(RECIPE, distill_weight=0.5, epochs=2, policy="none")
    arguments = {"seed": 0, "checkpoint": tmp_path / "last.pt", "resume": True}
    fit(network(), dataset(), None, recipe, teacher=network(5), stop=break_off_at(3), **arguments)
    with pytest.raises(CheckpointError, match="by a run with another teacher"):
        fit(network(), dataset(), None, recipe, teacher=network(6), **arguments)
    history = fit(network(), dataset(), None, recipe, teacher=network(5), **arguments)
    assert len(history.epochs) == 2


def test_augmentation_by_torch_trains_as_that_of_the_library():
    """The same draws, pixels within one grey level: the losses are nearly the same."""
    losses = []
    for augment in ("cpu", "gpu"):
        recipe = replace(RECIPE, augment=augment, policy="strong")
        history = fit(network(), dataset(), None, recipe, seed=3, deterministic=True)
        assert history.recipe.augment == augment
        losses.append([each.train_loss for each in history.epochs])
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


@pytest.mark.parametrize("every", [600.0, 0.0], ids=["epochs", "steps"])
def test_a_run_killed_at_any_moment_resumes_to_the_same_bits(tmp_path, every):
    """SIGKILL from outside, in the middle of an epoch; the child is this file's own training."""
    script = textwrap.dedent(
        f"""
        import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
        import time
        from pathlib import Path
        from dataclasses import replace
        import test_loop as t
        t.fit(t.network(), t.dataset(), None, replace(t.RECIPE, epochs=400), seed=3, deterministic=True,
              checkpoint=Path(sys.argv[1]), save_every={every}, on_epoch=lambda e: print(e.epoch, flush=True))
        """
    )
    path = tmp_path / "last.pt"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) == 3:
                time.sleep(random.uniform(0, 0.1))  # at another step at every run of this test
                child.kill()
                break
    recipe = replace(RECIPE, epochs=400)
    finished = len(checkpoint.load(path)[0]["epochs"])
    assert 3 <= finished < 400

    def stop(record: EpochRecord) -> bool:
        return record.epoch < finished + 2

    whole, resumed = network(), network(seed=9)
    fit(whole, dataset(), None, recipe, seed=3, deterministic=True, on_epoch=stop)
    fit(
        resumed,
        dataset(),
        None,
        recipe,
        seed=3,
        deterministic=True,
        on_epoch=stop,
        checkpoint=path,
        resume=True,
    )
    assert same(weights(whole), weights(resumed))


def test_resuming_a_finished_run_gives_its_result_again(tmp_path):
    path = tmp_path / "last.pt"
    first, second = network(), network(seed=4)
    history = fit(first, dataset(), None, RECIPE, seed=0, checkpoint=path)
    again = fit(second, dataset(), None, RECIPE, seed=0, checkpoint=path, resume=True)
    assert again.epochs == history.epochs
    assert same(weights(first), weights(second))


def test_resume_without_a_checkpoint_starts_at_the_beginning(tmp_path):
    history = fit(network(), dataset(), None, RECIPE, seed=0, checkpoint=tmp_path / "last.pt", resume=True)
    assert len(history.epochs) == 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"recipe": replace(RECIPE, epochs=9)}, "was written with epochs=3 and not 9"),
        ({"recipe": replace(RECIPE, policy="none")}, "was written with policy='mild' and not 'none'"),
        ({"seed": 1}, r"by a run with another seed \(0, not 1\)"),
        ({"train": dataset(seed=8)}, "by a run with another training images"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(768, 3))}, "by a run with another network"),
    ],
    ids=["epochs", "policy", "seed", "images", "network"],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, text):
    path = tmp_path / "last.pt"
    arguments = {"model": network(), "train": dataset(), "validation": None, "recipe": RECIPE, "seed": 0}
    fit(**arguments, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=text):
        fit(**{**arguments, **changes}, checkpoint=path, resume=True)
    assert path.read_bytes() == before


def test_other_classes_in_validation_are_refused():
    validation = replace(dataset(20), classes=("red", "green", "yellow"))
    with pytest.raises(TrainingError, match="different classes"):
        fit(network(), dataset(), validation, RECIPE, seed=0)


def test_the_average_is_that_of_its_formula_buffers_included():
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


def test_a_run_of_two_short_epochs_is_not_judged_by_its_random_start():
    """With a fixed decay of 0.999 the average of so few steps would be the start."""
    model, validation = network(), dataset(100, seed=1)
    recipe = replace(RECIPE, epochs=2, ema=0.02)
    fit(model, dataset(400), None, recipe, seed=0)
    averaged = evaluate(model, validation).accuracy
    plain = network()
    fit(plain, dataset(400), None, replace(recipe, ema=0.0), seed=0)
    assert averaged >= evaluate(plain, validation).accuracy - 0.05


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_the_rate_climbs_to_its_peak_and_falls_to_nearly_zero(schedule):
    recipe = replace(RECIPE, schedule=schedule, warmup=0.25)
    rates = [learning_rate(recipe, step, 400) for step in range(400)]
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == rates[100] == pytest.approx(0.1)
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert 0 < rates[-1] < 0.001
    middle = learning_rate(recipe, 250, 400)
    assert middle == pytest.approx(0.05)


def test_norms_and_biases_do_not_decay():
    optimizer = build_optimizer(network(), replace(RECIPE, weight_decay=0.1))
    decayed, spared = optimizer.param_groups
    assert [each.ndim for each in decayed["params"]] == [4, 2]
    assert decayed["weight_decay"] == 0.1
    assert [each.ndim for each in spared["params"]] == [1, 1, 1]
    assert spared["weight_decay"] == 0


def test_a_network_without_parameters_is_refused():
    with pytest.raises(TrainingError, match="no parameter to train"):
        fit(nn.Flatten(), dataset(), None, RECIPE, seed=0)


def test_auto_becomes_something_that_was_measured_and_leaves_the_network_alone():
    model = network()
    before = weights(model)
    recipe = settle(replace(RECIPE, precision="auto", layout="auto"), model, (16, 16), torch.device("cpu"))
    assert recipe.precision in ("float32", "bfloat16")
    assert recipe.layout in ("channels_last", "contiguous")
    assert same(before, weights(model))
    assert all(parameter.grad is None for parameter in model.parameters())
    fixed = settle(
        replace(RECIPE, precision="auto", layout="auto"),
        model,
        (16, 16),
        torch.device("cpu"),
        deterministic=True,
    )
    assert (fixed.precision, fixed.layout) == ("float32", "channels_last")
