from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from training.errors import TrainingError
from training.fit.distill import Teacher, check_teacher, distillation
from training.fit.recipe import RECIPES

TAUGHT = replace(RECIPES["fast"], distill_weight=0.5)


def test_the_loss_is_that_of_its_formula():
    random = np.random.default_rng(0)
    student, teacher = random.normal(size=(2, 6, 10)) * 3
    temperature = 3.0

    def softened(logits: np.ndarray) -> np.ndarray:
        powers = np.exp(logits / temperature)
        return powers / powers.sum(axis=1, keepdims=True)

    p, q = softened(teacher), softened(student)
    expected = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    found = distillation(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_equal_answers_cost_nothing():
    logits = torch.randn(4, 5, dtype=torch.float64)
    assert float(distillation(logits, logits + 7, 4.0)) == pytest.approx(0, abs=1e-12)


def test_a_high_temperature_has_gradients_as_large_as_a_low_one():
    """The reason of T^2: at high T the gradient tends to that of half the squared distance over classes."""
    teacher = torch.randn(8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    student = torch.zeros(8, 10, dtype=torch.float64, requires_grad=True)
    distillation(student, teacher, 1e5).backward()
    centred = teacher - teacher.mean(dim=1, keepdim=True)
    assert torch.allclose(student.grad, -centred / (10 * 8), rtol=1e-3, atol=1e-6)


def test_a_teacher_is_in_eval_mode_and_learns_nothing():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9), nn.Flatten(), nn.Linear(48, 4)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    teacher = Teacher(network, 4, torch.device("cpu"), "float32")
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    first, second = teacher(images), teacher(images)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_teacher_of_other_classes_is_named():
    teacher = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(48, 7)), 4, torch.device("cpu"), "float32")
    with pytest.raises(TrainingError, match=r"the teacher answers with shape \(7,\) an image, .* 4 classes"):
        teacher(torch.zeros(2, 3, 4, 4))


def test_a_recipe_and_its_teacher_come_together():
    check_teacher(TAUGHT, nn.Flatten())
    check_teacher(RECIPES["fast"], None)
    with pytest.raises(TrainingError, match=r"distill_weight=0\.5 but there is no teacher"):
        check_teacher(TAUGHT, None)
    with pytest.raises(TrainingError, match="there is a teacher, but recipe 'fast' has distill_weight=0"):
        check_teacher(RECIPES["fast"], nn.Flatten())
