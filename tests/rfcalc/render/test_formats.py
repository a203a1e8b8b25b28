"""Reports in every format, compared with tests/golden; the numbers in them are re-added from the text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

import rfcalc
from rfcalc.errors import UsageError
from rfcalc.render.columns import COLUMNS, chosen
from rfcalc.render.formats import render
from rfcalc.render.report import Report
from rfcalc.render.table import folded

Golden = Callable[[str, str], None]
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
BUDGET = rfcalc.Budget(
    min_receptive_field=53,
    max_params=99_999,
    min_depthwise_separable=2,
    min_dilated=1,
    require_gap=True,
    forbid_max_pool=True,
    stages=4,
)


def report_on(
    model: nn.Module, target: str, size: tuple[int, ...], budget: rfcalc.Budget | None = None
) -> Report:
    analysis = rfcalc.analyze(model, input_size=size)
    verdict = rfcalc.judge(analysis, budget) if budget else None
    return Report(target, type(model).__name__, False, analysis, verdict, "pyproject.toml" if budget else "")


@pytest.fixture(scope="module")
def compliant() -> Report:
    target = "examples/c1c2c3c4.py"
    return report_on(rfcalc.load_model(str(EXAMPLES / "c1c2c3c4.py")), target, (3, 32, 32), BUDGET)


@pytest.fixture(scope="module")
def decoder() -> Report:
    target = "examples/decoder.py"
    return report_on(rfcalc.load_model(str(EXAMPLES / "decoder.py")), target, (3, 32, 32), BUDGET)


@pytest.fixture(scope="module")
def resnet() -> Report:
    with torch.device("meta"):
        model = torchvision.models.resnet50(weights=None)
    return report_on(model, "torchvision.models:resnet50", (3, 224, 224))


class TestTable:
    @pytest.mark.parametrize("width", [80, 120, 200])
    @pytest.mark.parametrize("name", ["compliant", "decoder", "resnet"])
    def test_it_reads_as_in_the_golden_file(
        self, name: str, width: int, golden: Golden, request: pytest.FixtureRequest
    ) -> None:
        text = render(request.getfixturevalue(name), "table", width=width)
        assert max(map(len, text.splitlines())) <= width
        golden(f"rfcalc_{name}_{width}.txt", text)

    def test_every_row_can_be_shown(self, compliant: Report, golden: Golden) -> None:
        golden("rfcalc_compliant_all.txt", render(compliant, "table", every_row=True, width=120))

    def test_chosen_columns_come_in_the_order_asked_for(self, compliant: Report) -> None:
        text = render(compliant, "table", chosen(["rf", "layer", "memory"]), width=80)
        assert text.splitlines()[2].split() == ["rf", "layer", "memory"]

    @pytest.mark.parametrize("column", COLUMNS)
    def test_every_column_draws_on_every_network(self, column: str, decoder: Report, resnet: Report) -> None:
        for report in (decoder, resnet):
            assert column in render(report, "table", chosen([column]), width=200)

    @pytest.mark.parametrize("name", ["compliant", "decoder", "resnet"])
    def test_the_lines_add_up_to_the_totals(self, name: str, request: pytest.FixtureRequest) -> None:
        report = request.getfixturevalue(name)
        rows = list(csv.DictReader(io.StringIO(render(report, "csv"))))
        assert sum(int(row["params"]) for row in rows) == report.analysis.params
        assert sum(int(row["macs"]) for row in rows) == report.analysis.macs

    def test_colours_only_on_demand(self, compliant: Report) -> None:
        assert "\x1b[" not in render(compliant, "table", width=120)
        assert "\x1b[" in render(compliant, "table", width=120, colour=True)

    def test_a_group_norm_keeps_its_row_since_it_sees_the_whole_map(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.BatchNorm2d(4))
        rows = list(csv.DictReader(io.StringIO(render(report_on(net, "x", (3, 16, 16)), "csv"))))
        assert [row["op"] for row in rows] == ["conv", "group norm"]
        assert [row["params"] for row in rows] == ["112", "16"]

    def test_one_axis_and_several_outputs(self, golden: Golden) -> None:
        class Heads(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.Conv1d(1, 4, 9, stride=4)
                self.near = nn.Conv1d(4, 2, 1)
                self.far = nn.Conv1d(4, 2, 5, dilation=3)

            def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
                y = self.body(x)
                return {"near": self.near(y), "far": self.far(y)}

        golden("rfcalc_audio.txt", render(report_on(Heads(), "audio.py", (1, 400)), "table", width=100))


class TestExplained:
    def test_ten_lines_that_matter_are_shown_in_execution_order(self, resnet: Report) -> None:
        with torch.device("meta"):
            model = torchvision.models.resnet50(weights=None)
        found = rfcalc.explain(model, resnet.analysis, "layer4.2.conv3", what_ifs=False)
        report = replace(resnet, explanation=found)
        lines = render(report, "table", width=120).splitlines()
        shown = [line for line in lines if line.startswith(("conv1", "maxpool", "layer"))]
        added = [int(line.split("+")[1].split()[0]) for line in shown if "+" in line]
        assert len(added) == 10
        assert min(added) >= 16
        sums = [sum(step.adds) for step in found.steps if any(step.adds)]
        assert len(sums) > 10

    def test_few_lines_are_all_shown(self, compliant: Report) -> None:
        text = render(compliant, "table", width=80)
        assert "that add most" not in text


class TestFolding:
    def test_a_path_breaks_after_its_dots(self) -> None:
        assert folded("features.denseblock1.denselayer1.conv1", 22).split("\n") == [
            "features.denseblock1.",
            "  denselayer1.conv1",
        ]

    def test_a_short_path_stays_whole(self) -> None:
        assert folded("c1.0.conv", 20) == "c1.0.conv"


class TestColumns:
    def test_an_unknown_column_is_named_with_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"^--columns: no column 'parms'; did you mean 'params'\?$"):
            chosen(["layer", "parms"])


class TestJson:
    def test_it_is_that_of_the_golden_file(self, compliant: Report, golden: Golden) -> None:
        text = re.sub(r'("rfcalc": )"[^"]*"', r'\1"VERSION"', render(compliant, "json"))
        golden("rfcalc_compliant.json", text)

    def test_it_carries_the_facts_under_their_python_names(self, decoder: Report) -> None:
        found = json.loads(render(decoder, "json"))
        analysis = decoder.analysis
        assert found["schema"] == 1
        assert found["params"] == analysis.params
        assert found["rows"][0]["field"]["jump"] == ["1", "1"]
        assert found["field"]["size"] == list(analysis.field.size)
        assert found["field"]["size_min"] == list(analysis.field.size_min)
        assert len(found["rows"]) == len(analysis.rows)
        assert found["verdict"]["ok"] is False
        assert found["verdict"]["margins"] == decoder.verdict.margins  # type: ignore[union-attr]

    def test_a_fraction_is_an_exact_text(self) -> None:
        report = report_on(nn.ConvTranspose2d(3, 4, 2, stride=2), "x", (3, 8, 8))
        assert json.loads(render(report, "json"))["rows"][0]["field"]["jump"] == ["1/2", "1/2"]

    def test_without_a_budget_the_verdict_is_null(self, resnet: Report) -> None:
        assert json.loads(render(resnet, "json"))["verdict"] is None


class TestText:
    def test_markdown_is_that_of_the_golden_file(self, compliant: Report, golden: Golden) -> None:
        golden("rfcalc_compliant.md", render(compliant, "md"))

    def test_markdown_tables_have_one_width(self, decoder: Report) -> None:
        table = [line for line in render(decoder, "md").splitlines() if line.startswith("|")]
        assert len({len(line) for line in table[: len(decoder.analysis.rows) // 2]}) == 1

    def test_csv_is_that_of_the_golden_file(self, decoder: Report, golden: Golden) -> None:
        golden("rfcalc_decoder.csv", render(decoder, "csv"))

    def test_csv_has_plain_numbers(self, compliant: Report) -> None:
        row = next(csv.DictReader(io.StringIO(render(compliant, "csv"))))
        assert {key: row[key] for key in ("rf", "jump", "holes", "params", "macs")} == {
            "rf": "3",
            "jump": "1",
            "holes": "0",
            "params": "696",
            "macs": "663552",
        }
