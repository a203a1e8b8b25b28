import numpy
import pytest
import torch
from torch import nn

import rfcalc
from reports.errors import ReportError
from reports.pages.explorer import explore, largest, runs


class Residual(nn.Module):
    """A dilated block with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.head = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head((x + self.body(x)).mean((2, 3)))


class Cross(nn.Module):
    """Two branches that see a row and a column: their union is no product."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 4, (1, 7), padding=(0, 3))
        self.tall = nn.Conv2d(3, 4, (7, 1), padding=(3, 0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.wide(x) + self.tall(x)


NETWORKS = {
    "dilated: holes": nn.Sequential(nn.Conv2d(3, 4, 3, padding=3, dilation=3), nn.Conv2d(4, 4, 3, 2, 1)),
    "residual": Residual(),
    "cross": Cross(),
    "transposed": nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 4, 2, 1)),
    "flattened": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 10 * 14, 5)),
}


def pixels(data: dict, line: dict, y: int, x: int) -> numpy.ndarray:
    """What the page would fill in, decoded from its data in another way than the page does."""
    seen = numpy.zeros(data["input"], dtype=bool)
    if "units" in line:
        numbers = line["sets"][line["units"][y * line["grid"][1] + x]]
    else:
        numbers = [line["rows"][y], line["columns"][x]]
    for rows, columns in zip(numbers[::2], numbers[1::2], strict=True):
        axes = []
        for number, size in ((rows, seen.shape[0]), (columns, seen.shape[1])):
            ends = data["masks"][number]
            axis = numpy.zeros(size, dtype=bool)
            for first, last in zip(ends[::2], ends[1::2], strict=True):
                axis[first : last + 1] = True
            axes.append(axis)
        seen |= numpy.outer(*axes)
    return seen


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_every_unit_of_every_layer_shows_the_pixels_that_rfcalc_says(network: nn.Module) -> None:
    from rfcalc.analysis.view import lines_of

    analysis = rfcalc.analyze(network, input_size=(3, 12, 16))
    data = explore(analysis)
    for shown, line in zip(data["lines"], lines_of(analysis), strict=True):
        field = line.row.field
        assert shown["name"] == line.row.name
        for index in numpy.ndindex(*field.positions):
            y, x = (0, 0, *index)[-2:]
            numpy.testing.assert_array_equal(pixels(data, shown, y, x), field.mask(*index))


def test_a_union_that_is_no_product_is_kept_unit_by_unit() -> None:
    data = explore(rfcalc.analyze(Cross(), input_size=(3, 12, 16)))
    assert "units" in data["lines"][-1]
    assert pixels(data, data["lines"][-1], 6, 8).sum() == 7 + 7 - 1


def test_the_judged_layer_is_marked() -> None:
    data = explore(rfcalc.analyze(Residual(), input_size=(3, 12, 16)))
    assert [line["name"] for line in data["lines"] if line["judged"]] == ["add"]


def test_the_unbounded_span_is_given_by_phase() -> None:
    data = explore(rfcalc.analyze(NETWORKS["dilated: holes"], input_size=(3, 12, 16)))
    # 3x3 at dilation 3 and padding 3, then 3x3 at stride 2 and padding 1: 7 + 2 = 9 pixels from -3 - 1.
    assert data["lines"][-1]["unbounded"] == {"shift": [2, 2], "phases": [[(-4, 9)], [(-4, 9)]]}


def test_networks_that_read_no_images_are_refused() -> None:
    analysis = rfcalc.analyze(nn.Conv1d(1, 2, 3), input_size=(1, 100))
    with pytest.raises(ReportError, match="C x H x W; the input here is 1x100"):
        explore(analysis)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(0, []), (0b1, [0, 0]), (0b1101, [0, 0, 2, 3]), (0b111 << 60, [60, 62]), (0b10101, [0, 0, 2, 2, 4, 4])],
)
def test_runs_of_a_set(bits: int, expected: list[int]) -> None:
    assert runs(bits) == expected


def test_products_within_another_are_left_out() -> None:
    assert largest([(0b010, 0b010), (0b111, 0b111), (0b1000, 0b1), (0b111, 0b111)]) == [
        (0b111, 0b111),
        (0b1000, 0b1),
    ]
