"""The step as one function of tensors: equal to the one launched op by op, it asks the host for nothing."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from training.batches.pool import Pool
from training.errors import TrainingError
from training.fit.course import Course
from training.fit.distill import Teacher
from training.fit.ema import Ema
from training.fit.graphs import WARMUPS
from training.fit.loop import fit
from training.fit.optim import build_optimizer
from training.fit.step import Step
from training.fit.stepping import Partial, Stepwise
from training.fit.whole import Whole

CPU = torch.device("cpu")
EVERYTHING = {
    "optimizer": "muon",
    "mixup": 0.5,
    "cutmix": 0.4,
    "clip": 0.7,
    "distill_weight": 0.3,
    "label_smoothing": 0.05,
    "weight_decay": 0.01,
    "policy": "light",
    "batch_size": 20,
    "epochs": 5,
}


class Launches:
    """A capture that any device can do, and counts what is launched."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, compute):
        for _ in range(WARMUPS + 1):
            compute()

        def replay() -> None:
            self.count += 1
            compute()

        return replay, ()


class Stepped:
    """Brings the batches of a pool one by one: what `Stepwise` reads."""

    def __init__(self, pool: Pool, size: int) -> None:
        self.pool, self.size, self.number = pool, size, 0

    def epoch(self):
        from training.batches.loader import Batch

        self.number += 1
        self.pool.fill(self.number)
        images = self.pool.images.permute(0, 3, 1, 2)
        for start in range(0, len(images), self.size):
            yield Batch(images[start : start + self.size], self.pool.labels[start : start + self.size])


def trained(kind: str, model: nn.Module, samples, recipe, epochs: int = 5, **more):
    """Train, and return weights, averages, losses and right answers."""
    pool = Pool(samples, policy=recipe.policy, batch_size=recipe.batch_size, seed=3, device=CPU)
    course = Course(recipe, 3, pool.steps, samples.image_size)
    optimizer = build_optimizer(model, recipe)
    ema = Ema(model, 0.1 * pool.steps * recipe.epochs) if recipe.ema else None
    teacher = None
    if recipe.distill_weight:
        torch.manual_seed(9)
        answers = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3, 3))
        teacher = Teacher(answers, 3, CPU, recipe.precision)
    if kind == "whole":
        stepping, batches = Whole(model, samples, course, optimizer, ema, CPU, teacher, **more), pool
    else:
        step = Step(model, samples, recipe, optimizer, ema, CPU, teacher)
        stepping, batches = Stepwise(step, course, CPU), Stepped(pool, recipe.batch_size)
    model.train()
    losses, right = [], []
    for epoch in range(1, epochs + 1):
        partial = Partial(0, torch.zeros(pool.steps), torch.zeros((), dtype=torch.int64), 0.0)
        rates = list(stepping.steps(batches, epoch, partial))
        assert rates == [course.rate(epoch, step) for step in range(pool.steps)]
        losses += partial.losses.tolist()
        right.append(int(partial.right))
    averages = {} if ema is None else {name: value.clone() for name, value in ema._average.items()}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return weights, averages, losses, right, optimizer.state_dict()


def equal(first, second) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


@pytest.mark.parametrize("optimizer", ["muon", "sgd", "adamw"])
def test_fifty_replays_are_fifty_steps_bit_for_bit(optimizer, network, dataset, recipe):
    """With both mixings, clipping, average, teacher and dropout."""
    recipe = replace(recipe, **EVERYTHING | {"optimizer": optimizer})
    launches = Launches()
    eager = trained("whole", network(), dataset(), recipe)
    replayed = trained("whole", network(), dataset(), recipe, capture=launches)
    assert launches.count == 50
    assert equal(eager, replayed)


@pytest.mark.parametrize("optimizer", ["muon", "sgd", "adamw"])
def test_it_is_the_step_that_is_launched_op_by_op(optimizer, network, dataset, recipe):
    """Within rounding: a tensor times a number and a tensor times a tensor differ in the last bit."""
    recipe = replace(recipe, **EVERYTHING | {"optimizer": optimizer, "learning_rate": 0.01})
    whole = trained("whole", network(), dataset(), recipe, epochs=2)
    stepwise = trained("stepwise", network(), dataset(), recipe, epochs=2)
    assert whole[2] == pytest.approx(stepwise[2], rel=1e-4)
    assert whole[3] == stepwise[3]
    for found, expected in zip(whole[:2], stepwise[:2], strict=True):
        for name, value in expected.items():
            assert torch.allclose(found[name].double(), value.double(), rtol=1e-3, atol=1e-5), name


def test_smaller_images_are_recorded_once_more(network, dataset, recipe):
    """Two of five epochs at 10 of 16 pixels: the same bits as without a recording, one recording a size."""
    recipe = replace(recipe, **EVERYTHING, small_share=0.4)
    sizes: list[tuple[int, ...]] = []
    model = network()
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape[2:])))
    eager = trained("whole", model, dataset(), recipe)
    assert sizes == [(10, 10)] * 20 + [(16, 16)] * 30
    recordings = []

    def capture(compute):
        recordings.append(compute)
        return compute, ()

    assert equal(eager, trained("whole", network(), dataset(), recipe, capture=capture))
    assert len(recordings) == 2
    other = trained("stepwise", network(), dataset(), replace(recipe, learning_rate=0.01), epochs=3)
    same = trained("whole", network(), dataset(), replace(recipe, learning_rate=0.01), epochs=3)
    assert same[2] == pytest.approx(other[2], rel=1e-4)


class Ops(TorchDispatchMode):
    """Lists the ops that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.names.append(str(function))
        return function(*arguments, **(keywords or {}))


def made_ready(model: nn.Module, samples, recipe) -> tuple[Whole, Pool]:
    pool = Pool(samples, policy="none", batch_size=recipe.batch_size, seed=0, device=CPU)
    course = Course(recipe, 0, pool.steps, samples.image_size)
    optimizer = build_optimizer(model, recipe)
    optimizer.materialise()
    whole = Whole(model, samples, course, optimizer, Ema(model, 10), CPU)
    whole._read_from(pool.images, pool.labels)
    return whole, pool


@pytest.mark.parametrize("optimizer", ["muon", "sgd", "adamw"])
def test_a_step_reads_no_value_and_takes_no_tensor_from_the_host(optimizer, network, dataset, recipe):
    recipe = replace(recipe, **EVERYTHING | {"optimizer": optimizer, "distill_weight": 0.0})
    whole, _ = made_ready(network(), dataset(), recipe)
    with FakeTensorMode(allow_non_fake_inputs=True), Ops() as ops:
        whole.compute()
    assert len(ops.names) > 50
    # What torch.tensor and Tensor.item are to the dispatcher.
    assert not [name for name in ops.names if "lift_fresh" in name or "local_scalar" in name]


class Asking(nn.Module):
    """A network whose forward pass reads a value."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * (1.0 if float(x.sum()) < 1e9 else 2.0)


def test_the_check_finds_a_network_that_reads_a_value(network, dataset, recipe):
    whole, _ = made_ready(Asking(network()), dataset(), recipe)
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(DataDependentOutputException):
        whole.compute()


def test_an_epoch_is_one_launch_a_step_and_nothing_else(network, dataset, recipe):
    launches = Launches()
    samples = dataset()
    pool = Pool(samples, policy="light", batch_size=20, seed=0, device=CPU)
    recipe = replace(recipe, batch_size=20, mixup=0.3)
    course = Course(recipe, 0, pool.steps, samples.image_size)
    model = network()
    whole = Whole(model, samples, course, build_optimizer(model, recipe), None, CPU, capture=launches)
    for epoch in (1, 2):
        partial = Partial(0, torch.zeros(10), torch.zeros((), dtype=torch.int64), 0.0)
        steps = whole.steps(pool, epoch, partial)
        next(steps)
        whole._launch = lambda: setattr(launches, "count", launches.count + 1)
        with Ops() as ops:
            assert len(list(steps)) == 9
        assert ops.names == []
        assert partial.step == 10
    assert launches.count == 9 + 1 + 10 - 1 + 1


@pytest.fixture
def graphs_here(monkeypatch) -> Launches:
    """`fit` with compile=graphs, on a CPU."""
    launches = Launches()
    monkeypatch.setattr("training.fit.device._compile", lambda asked, device: asked)
    monkeypatch.setattr("training.fit.engine.record_on_cuda", launches)
    return launches


@pytest.mark.parametrize("augment", ["gpu", "cpu"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    augment, graphs_here, network, dataset, weights, same, recipe, tmp_path
):
    recipe = replace(recipe, compile="graphs", augment=augment, mixup=0.3, policy="light")
    whole, path = network(), tmp_path / "last.pt"
    history = fit(whole, dataset(), dataset(40, 1), recipe, seed=5)
    assert graphs_here.count == 3 * 6
    model, asked = network(), iter(range(100))
    first = fit(
        model, dataset(), dataset(40, 1), recipe, seed=5, checkpoint=path, stop=lambda: next(asked) == 8
    )
    assert first.stopped
    again = network(1)
    second = fit(again, dataset(), dataset(40, 1), recipe, seed=5, checkpoint=path, resume=True)
    assert same(weights(whole), weights(again))
    assert [each.train_loss for each in second.epochs] == [each.train_loss for each in history.epochs]
    assert [each.val_loss for each in second.epochs] == [each.val_loss for each in history.epochs]


def test_a_loss_that_is_not_finite_ends_a_recorded_run(graphs_here, network, dataset, recipe):
    recipe = replace(recipe, compile="graphs", augment="gpu")
    model = network()

    def poison(record: object) -> None:
        with torch.no_grad():
            model[0].weight.fill_(float("nan"))

    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 2, step 1 of 6; try a learning"):
        fit(model, dataset(), None, recipe, seed=0, on_epoch=poison)


def refuse(compute):
    compute()
    raise RuntimeError("operation not permitted when stream is capturing\nmore lines")


def test_a_network_that_cannot_be_recorded_is_trained_op_by_op(
    monkeypatch, graphs_here, network, dataset, weights, same, recipe
):
    recipe = replace(recipe, compile="graphs", augment="gpu", mixup=0.3)
    recorded, notices = network(), []
    fit(recorded, dataset(), None, recipe, seed=5)
    monkeypatch.setattr("training.fit.engine.record_on_cuda", refuse)
    model = network()
    fit(model, dataset(), None, recipe, seed=5, on_notice=notices.append)
    assert same(weights(recorded), weights(model))
    assert notices == [
        "the training step cannot be recorded as a CUDA graph (operation not permitted when stream is "
        "capturing); it is launched op by op, which takes longer"
    ]


def test_too_little_memory_while_recording_suggests_a_smaller_batch(
    monkeypatch, graphs_here, network, dataset, recipe
):
    def out(compute):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("training.fit.engine.record_on_cuda", out)
    recipe = replace(recipe, compile="graphs", augment="gpu")
    with pytest.raises(TrainingError, match="out of memory with batches of 32; try batch_size 16"):
        fit(network(), dataset(), None, recipe, seed=0)


def test_the_network_itself_is_blamed_where_it_is_wrong(graphs_here, dataset, recipe):
    recipe = replace(recipe, compile="graphs", augment="gpu")
    model = nn.Sequential(nn.Conv2d(3, 5, 16), nn.Flatten())
    with pytest.raises(TrainingError, match=r"the network answers with shape \(5,\) an image"):
        fit(model, dataset(), None, recipe, seed=0)


def test_an_epoch_may_have_fewer_steps_than_a_recording_needs_runs(
    graphs_here, network, dataset, weights, same, recipe
):
    recipe = replace(recipe, compile="graphs", augment="gpu")
    model = network()
    history = fit(model, dataset(40), None, recipe, seed=0)
    assert [record.epoch for record in history.epochs] == [1, 2, 3]
    assert graphs_here.count == 3
