import pytest
import torch
from torch import nn

from training.fit.muon import Muon, _batches, orthogonalise, orthogonalise_all
from training.fit.optim import build_optimizer
from training.fit.recipe import RECIPES, Recipe

RECIPE = Recipe(name="m", epochs=1, batch_size=2, optimizer="muon", learning_rate=0.1, vector_rate=0.2)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 20), (4, 30, 6)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    result = orthogonalise(matrices)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    nearest = left @ right  # the orthogonal matrix that the iteration aims at
    reached = torch.linalg.svdvals(result)
    visible = values > 0.1 * values[:, :1]  # five steps do not lift the smallest all the way
    assert (reached[visible] > 0.5).all()
    assert (reached < 1.3).all()
    cosine = (result * nearest).sum((1, 2)) / (result.norm(dim=(1, 2)) * nearest.norm(dim=(1, 2)))
    assert (cosine > 0.9).all()


def test_a_gradient_of_zero_moves_nothing():
    kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
    before = kernel.detach().clone()
    kernel.grad = torch.zeros_like(kernel)
    Muon([kernel], lr=0.1).step()
    assert torch.equal(kernel, before)


@pytest.mark.parametrize(("rows", "columns", "factor"), [(36, 4, 3.0), (4, 36, 1.0), (6, 6, 1.0)])
def test_a_tall_matrix_moves_by_the_root_of_rows_over_columns(rows, columns, factor):
    torch.manual_seed(0)
    matrix = nn.Parameter(torch.zeros(rows, columns))
    # The iteration keeps singular values of 1 near 1 (0.7 to 1.2): the step is that matrix times the factor.
    matrix.grad = nn.init.orthogonal_(torch.empty(rows, columns))
    Muon([matrix], lr=0.1).step()
    moved = torch.linalg.svdvals(matrix.detach()) / 0.1
    assert moved.median().item() == pytest.approx(factor, rel=0.35)


def test_kernels_of_one_shape_do_not_mix():
    torch.manual_seed(0)
    alone, first, second = (nn.Parameter(torch.zeros(4, 3, 3, 3)) for _ in range(3))
    alone.grad = torch.randn(4, 3, 3, 3)
    first.grad, second.grad = alone.grad.clone(), torch.randn(4, 3, 3, 3)
    Muon([alone], lr=0.1).step()
    Muon([first, second], lr=0.1).step()
    assert torch.allclose(alone, first, atol=1e-6)
    assert not torch.allclose(first, second, atol=1e-3)


def test_a_step_does_not_depend_on_the_memory_layout():
    torch.manual_seed(0)
    plain = nn.Parameter(torch.zeros(4, 3, 3, 3))
    last = nn.Parameter(torch.zeros(4, 3, 3, 3).to(memory_format=torch.channels_last))
    plain.grad = torch.randn(4, 3, 3, 3)
    last.grad = plain.grad.to(memory_format=torch.channels_last)
    for parameter in (plain, last):
        Muon([parameter], lr=0.1).step()
    assert torch.allclose(plain, last, atol=1e-6)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_depthwise_kernels_norms_and_biases_go_to_sgd():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2)
    )
    muon, *others = build_optimizer(model, RECIPE).param_groups
    assert [tuple(each.shape) for each in muon["params"]] == [(8, 3, 3, 3), (2, 8)]
    rest = [tuple(each.shape) for group in others for each in group["params"]]
    assert sorted(rest) == sorted([(8, 1, 3, 3), (8,), (8,), (8,), (8,), (2,)])


def test_both_rates_follow_the_schedule():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    optimizer = build_optimizer(model, RECIPE)
    model(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step(0.05)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.1])


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_recipe_trains_every_parameter(name):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4))
    optimizer = build_optimizer(model, RECIPES[name])
    held = [id(each) for group in optimizer.param_groups for each in group["params"]]
    assert sorted(held) == sorted(id(each) for each in model.parameters())


SHAPES = [(16, 27), (32, 144), (10, 108), (108, 68), (52, 468), (32, 144), (4, 3)]


def test_matrices_padded_with_zeros_become_what_they_become_alone():
    torch.manual_seed(0)
    matrices = [torch.randn(shape, dtype=torch.float64) for shape in SHAPES]
    found = orthogonalise_all([*matrices, torch.zeros(5, 9, dtype=torch.float64)], torch.float64)
    for matrix, each in zip(matrices, found, strict=False):
        assert torch.allclose(each, orthogonalise(matrix[None])[0], rtol=1e-9, atol=1e-12)
    assert not found[-1].any()


def test_small_matrices_share_a_product_and_large_ones_only_with_their_like():
    (together,) = _batches(SHAPES)
    assert sorted(together) == list(range(len(SHAPES)))
    large = [(512, 4608), (512, 4608), (10, 512), (256, 2304)]
    assert _batches(large) == [[0, 1], [3], [2]]
    assert sorted(place for batch in _batches(large * 3) for place in batch) == list(range(12))


def test_a_rate_that_is_a_tensor_makes_the_step_of_the_number():
    torch.manual_seed(0)
    shapes = [(8, 3, 3, 3), (8, 8, 1, 1), (8, 8, 3, 3), (4, 8), (8, 8, 3, 3)]
    plain = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    given = [nn.Parameter(each.detach().clone()) for each in plain]
    optimizers = [Muon(each, lr=0.1, weight_decay=0.02) for each in (plain, given)]
    for _ in range(3):
        for one, other in zip(plain, given, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        optimizers[1].param_groups[0]["lr"] = torch.tensor(0.1)
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(plain, given, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
