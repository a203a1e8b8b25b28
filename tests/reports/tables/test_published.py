import dataclasses
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rfcalc
from records.files import write_json
from reports.pages.page import write_search_report
from reports.runs import open_search
from reports.tables.published import CLASSES, NETWORKS, published_for, table_of, within_reach
from training.data import cifar10


def island(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def on_cifar(folder: Path, **changes: Any) -> Path:
    """Make the run one on CIFAR-10 by name, with the data set's fields as given."""
    record = open_search(folder).record
    facts = {"name": "cifar10-jpeg", "kind": "archive", "title": "cifar10-jpeg", "notice": None, **changes}
    dataset = dataclasses.replace(record.dataset, **facts)
    write_json(folder / "search.json", dataclasses.replace(record, dataset=dataset).to_json())
    return folder


def test_every_published_figure_has_its_source_and_is_plausible() -> None:
    assert list(NETWORKS) == sorted(NETWORKS, key=lambda network: network.params)
    for network in NETWORKS:
        assert network.source
        assert network.conditions
        assert 0.8 < network.accuracy < 0.96
        assert 10_000 < network.params < 1_000_000
        assert network.macs is None or network.macs > 1_000_000


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("ResNet-8 (MLPerf Tiny)", "resnet8"),
        ("Transposed student", "cifar10_transpose"),
    ],
)
def test_networks_that_are_rebuilt_here_cost_what_rfcalc_counts(name: str, target: str) -> None:
    published = next(network for network in NETWORKS if network.name == name)
    path = Path(__file__).resolve().parents[3] / "models" / "reference" / f"{target}.py"
    analysis = rfcalc.analyze(rfcalc.load_model(str(path)), input_size=(3, 32, 32))
    assert (published.params, published.macs) == (analysis.params, analysis.macs)


def test_the_classes_are_those_that_training_reads() -> None:
    assert frozenset(cifar10.CLASSES) == CLASSES


def test_a_run_on_cifar10_is_drawn_against_them(make_search: Callable[..., Path]) -> None:
    text = write_search_report(on_cifar(make_search(trials=8))).read_text()
    assert "on the original CIFAR-10 images; this run's images are cifar10-jpeg" in html.unescape(text)
    published = island(text)["published"]
    assert len(published) == len(NETWORKS)
    assert {each["name"] for each in published if each["near"]} < {network.name for network in NETWORKS}
    assert 'id="published-table"' in text


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "shapes"},
        {"classes": ("cat", "dog")},
        {"image_size": (64, 64)},
    ],
    ids=["shapes", "other classes", "other size"],
)
def test_a_run_on_other_images_is_not(make_search: Callable[..., Path], changes: dict[str, Any]) -> None:
    folder = on_cifar(make_search(trials=3), **changes)
    assert published_for(open_search(folder).record.dataset) == ()
    text = write_search_report(folder).read_text()
    assert island(text)["published"] == []
    assert "Tiniest" not in text


def test_networks_far_larger_than_the_trials_stay_in_the_table() -> None:
    near = within_reach(NETWORKS, 99_999)
    assert "ResNet-20" in {network.name for network in near}
    assert "ResNet-56" not in {network.name for network in near}
    assert len(table_of(NETWORKS).rows) == len(NETWORKS)
