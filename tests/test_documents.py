"""The documents name files that exist, and the site that is built of them is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rfcalc

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
TOP = "rfcalc|models|records|training|search|reports|serve|benchmarks|tests|docs"
PATH = re.compile(rf"`((?:{TOP})(?:/[\w.]+)+/?)`")


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_a_path_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    missing = {name for name in PATH.findall(text) if not (ROOT / name).exists()}
    assert not missing, f"{document.name} names {', '.join(sorted(missing))}"


def test_the_folders_of_the_map_are_those_of_the_tree() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for top in ("rfcalc", "training", "search"):
        folders = {path.parent.name for path in (ROOT / top).glob("*/__init__.py")}
        absent = {name for name in folders if f"`{top}/{name}`" not in text}
        assert not absent, f"docs/ARCHITECTURE.md does not say what {top}/{', '.join(sorted(absent))} own"


def test_every_document_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    absent = [path.name for path in DOCS if f": {path.name}\n" not in navigation]
    assert not absent


def test_the_picture_of_the_river_names_the_top_folders() -> None:
    picture = (ROOT / "docs" / "figures" / "river.svg").read_text(encoding="utf-8")
    for name in ("models", "rfcalc/trace", "rfcalc/maps", "rfcalc/analysis", "training", "search", "reports"):
        assert f">{name}" in picture


def test_the_citation_has_the_version_of_the_library() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {rfcalc.__version__}\n" in citation


def test_the_commands_of_the_documents_run_benchmarks_as_modules() -> None:
    for path in (*ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"):
        text = path.read_text(encoding="utf-8")
        assert "python benchmarks/" not in text, path
        for name in re.findall(r"python -m benchmarks\.([a-z]\w*)", text):
            assert (ROOT / "benchmarks" / f"{name}.py").is_file(), f"{path.name}: {name}"


def test_every_benchmark_is_in_the_index() -> None:
    index = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    scripts = [path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__"]
    absent = [name for name in scripts if f"benchmarks.{name}" not in index and f"`{name}.py`" not in index]
    assert not absent, f"benchmarks/README.md does not name {', '.join(absent)}"
