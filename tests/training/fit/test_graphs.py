import torch
from torch import nn

from training.fit.graphs import WARMUPS, Recorded


def record_here(compute):
    """What a CUDA capture does, on any device: warm up, hand out the outputs, fill them at each replay."""
    for _ in range(WARMUPS):
        compute()
    outputs = tuple(each.clone().zero_() for each in compute())

    def replay() -> None:
        for inside, made in zip(outputs, compute(), strict=True):
            inside.copy_(made)

    return replay, outputs


def test_each_call_computes_on_its_own_arguments():
    recorded = Recorded(lambda x, y, none: (x * 2 + y, x.sum()), lambda: [], record_here)
    for value in (1.0, 5.0, -2.0):
        doubled, total = recorded(torch.full((2, 3), value), torch.tensor(0.5), None)
        assert torch.equal(doubled, torch.full((2, 3), 2 * value + 0.5))
        assert float(total) == 6 * value


def test_arguments_are_not_kept():
    recorded = Recorded(lambda x: (x + 1,), lambda: [], record_here)
    argument = torch.zeros(2)
    recorded(argument)
    argument.fill_(9)
    (found,) = recorded(torch.zeros(2))
    assert torch.equal(found, torch.ones(2))


def test_recording_leaves_the_state_and_the_random_numbers_as_they_were():
    norm = nn.BatchNorm1d(3)

    def compute(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (norm(x) + torch.rand(3),)

    recorded = Recorded(compute, lambda: list(norm.state_dict().values()), record_here)
    torch.manual_seed(1)
    data = torch.randn(8, 3)
    plain = nn.BatchNorm1d(3)
    torch.manual_seed(2)
    recorded(data)
    torch.manual_seed(2)
    plain(data)
    assert int(norm.num_batches_tracked) == 1
    assert torch.equal(norm.running_mean, plain.running_mean)
    torch.manual_seed(2)
    (found,) = recorded(data)
    torch.manual_seed(2)
    assert torch.equal(found, plain(data) + torch.rand(3))
