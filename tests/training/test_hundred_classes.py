"""CIFAR-100, a data set of a hundred classes, from its cache through trainer, evaluation, search and page."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import train
from records.run import RunRecord
from search.__main__ import main as search
from training.data import cifar100
from training.data.cache import FORMAT, Content, Part, load_or_build


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold what a first start leaves of the archive, which is not here: ten images a class, of noise."""
    folder = tmp_path_factory.mktemp("cache")
    random = np.random.default_rng(0)

    def part(count: int) -> Part:
        images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        return Part(images, np.arange(count, dtype=np.int64) % 100)

    def build(scratch: Path) -> Content:
        return Content(cifar100.CLASSES, part(1000), part(200))

    load_or_build(folder, cifar100.DATA.key(FORMAT), build, Console(file=io.StringIO()))
    return folder


@pytest.mark.slow
def test_a_network_is_trained_and_evaluated(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", "cifar100", "--cache", str(cache), "--device", "cpu", "--out", str(tmp_path)]
    assert train.main([*where, "--preset", "tiny", "--epochs", "1", "--name", "run"]) == 0

    record = RunRecord.read(tmp_path / "run" / "run.json")
    assert (record.dataset.name, record.dataset.kind) == ("cifar100", "cifar100")
    assert record.dataset.classes == cifar100.CLASSES
    assert record.confusion is not None
    assert len(record.confusion) == len(record.confusion[0]) == 100
    capsys.readouterr()
    assert train.main(["--evaluate", str(tmp_path / "run")]) == 0  # the images by their name in run.json
    told = capsys.readouterr().out
    assert "of CIFAR-100" in told
    assert "aquarium_fish" in told


@pytest.mark.slow
def test_a_search_finds_a_network_and_writes_its_page(cache: Path, tmp_path: Path) -> None:
    where = ["--data", "cifar100", "--cache", str(cache), "--device", "cpu", "--out", str(tmp_path)]
    stages = ["--trials", "1", "--epochs", "1", "--subset", "128", "--finalists", "1"]
    ends = ["--final-epochs", "1", "--final-subset", "128", "--winner-epochs", "1", "--jobs", "1"]
    assert search([*where, *stages, *ends, "--name", "found"]) == 0

    folder = tmp_path / "found"
    assert json.loads((folder / "best" / "spec.json").read_text())["classes"] == 100
    assert RunRecord.read(folder / "best" / "run.json").dataset.classes == cifar100.CLASSES
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "CIFAR-100" in page
    assert "willow_tree" in page
