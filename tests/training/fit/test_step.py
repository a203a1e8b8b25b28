import copy
import functools
from dataclasses import replace

import pytest
import torch
from torch import nn

from training.batches.chunks import steps_of
from training.batches.loader import Batch
from training.batches.mixing import Mix
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit.device import float32_where_bfloat16_is_unfit
from training.fit.distill import Teacher
from training.fit.ema import Ema
from training.fit.optim import build_optimizer
from training.fit.recipe import RECIPES, Recipe
from training.fit.step import Step

CPU = torch.device("cpu")
RECIPE = replace(
    RECIPES["fast"], optimizer="sgd", precision="float32", layout="channels_last", compile="off", ema=0.0
)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 6, 5, 1, 2, groups=6),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


@pytest.fixture
def samples() -> Samples:
    images = torch.randint(0, 256, (32, 8, 8, 3), generator=torch.Generator().manual_seed(0))
    return Samples(
        images.to(torch.uint8).numpy(), torch.arange(32).numpy() % 4, tuple("abcd"), (127.0,) * 3, (60.0,) * 3
    )


def batch(samples: Samples) -> Batch:
    return Batch(torch.from_numpy(samples.images).permute(0, 3, 1, 2), torch.from_numpy(samples.labels))


def trained(samples: Samples, recipe: Recipe, mixes: list[Mix], **more) -> tuple[nn.Module, list[float]]:
    model = network()
    optimizer = build_optimizer(model, recipe)
    ema = Ema(model, 4) if recipe.ema else None
    step = Step(model, samples, recipe, optimizer, ema, CPU, **more)
    losses = []
    for number, mix in enumerate(mixes):
        torch.manual_seed(number)
        loss, right = step(batch(samples), 0.05, mix)
        losses.append(float(loss))
        assert 0 <= int(right) <= 32
    return model, losses


def test_the_loss_weighs_both_labels_and_the_teacher(samples):
    """Against the definition, in float64, without label smoothing."""
    recipe = replace(RECIPE, label_smoothing=0.0, mixup=0.5, distill_weight=0.3, distill_temperature=2.0)
    model, other = network().eval(), network(3).eval()
    reference = copy.deepcopy(model).double()
    step = Step(
        model, samples, recipe, build_optimizer(model, recipe), None, CPU, Teacher(other, 4, CPU, "float32")
    )
    loss, _ = step(batch(samples), 0.05, Mix(0.2))
    images = (torch.from_numpy(samples.images).permute(0, 3, 1, 2).double() - 127) / 60
    images = 0.8 * images + 0.2 * images.flip(0)
    labels = torch.from_numpy(samples.labels)
    answers, wanted = (net(images).log_softmax(1) for net in (reference, copy.deepcopy(other).double()))
    chosen = -(
        0.8 * answers.gather(1, labels[:, None]) + 0.2 * answers.gather(1, labels.flip(0)[:, None])
    ).mean()
    soft, target = (each.div(2).log_softmax(1) for each in (answers, wanted))
    taught = 4 * (target.exp() * (target - soft)).sum(1).mean()
    expected = float((0.7 * chosen + 0.3 * taught).detach())
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_torch_compile_traces_is_the_network(samples, monkeypatch, precision):
    """Traced for real, kernels as they are: what dynamo makes of it, widened kernels included."""
    compile_ = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compile_)
    recipe = replace(RECIPE, precision=precision)
    plain, losses = trained(samples, recipe, [Mix(0.0)] * 3)
    model = network()
    with float32_where_bfloat16_is_unfit(model, CPU, precision):
        step = Step(model, samples, replace(recipe, compile="on"), build_optimizer(model, recipe), None, CPU)
        found = []
        for number in range(3):
            torch.manual_seed(number)
            found.append(float(step(batch(samples), 0.05, Mix(0.0))[0]))
    assert found == pytest.approx(losses, rel=1e-5 if precision == "float32" else 0.02)
    assert model.state_dict().keys() == plain.state_dict().keys()


def test_a_network_that_cannot_be_compiled_is_said_in_one_line(samples, monkeypatch):
    def broken(model: nn.Module, dynamic: bool):
        def forward(images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("\nno C++ compiler was found\nmany more lines")

        return forward

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        TrainingError, match=r"torch\.compile failed \(no C\+\+ compiler was found\); use compile=off$"
    ):
        trained(samples, replace(RECIPE, compile="on"), [Mix(0.0)])


def test_a_network_that_fails_by_itself_is_not_blamed_on_the_compiler(samples, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, dynamic: model)
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 4))
    step = Step(model, samples, replace(RECIPE, compile="on"), build_optimizer(model, RECIPE), None, CPU)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        step(batch(samples), 0.05, Mix(0.0))


def test_a_step_counts_right_answers_of_the_first_labels(samples):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.tensor([9.0, 0, 0, 0]))
    step = Step(model, samples, RECIPE, build_optimizer(model, RECIPE), None, CPU)
    _, right = step(batch(samples), 0.05, Mix(0.0))
    assert int(right) == 8


def test_steps_are_whole_batches():
    assert steps_of(100, 32) == 3
    with pytest.raises(TrainingError, match="31 training images are fewer than one batch of 32"):
        steps_of(31, 32)
