"""The section on the network off the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.errors import ReportError
from reports.pages.deployment import deployment
from reports.pages.page import write_report
from reports.runs import open_run


def measured(share: float) -> dict[str, Any]:
    return {"accuracy": share, "interval95": [share - 0.01, share + 0.01], "images": 100, "per_class": {}}


def exported(folder: Path, **c: Any) -> Path:
    """Write a record as an export of C does, with what is given in the place of its own."""
    board = {"board": "<b>M4</b>", "core": "Cortex-M4", "megahertz": 80, "fits": False, "cycles": [1, 2]}
    part = {
        "bytes": 105_332,
        "accuracy": measured(0.85),
        "reference": measured(0.86),
        "images": "100 test images of shapes",
        "flash": {
            "weights": 96_756,
            "biases": 10,
            "multipliers": 20,
            "tables": 30,
            "code": None,
            "total": 96_816,
        },
        "ram": {"arena": 18_432, "arena_least": 18_000, "input": 3_072, "scores": 20},
        "boards": [board | {"milliseconds": [10.4, 20.6], "source": "a paper"}],
        "emulated": 200,
        "qat": {
            "epochs": 3,
            "validation": {"before": measured(0.8), "after": measured(0.84), "learned": True},
        },
    }
    record = {"schema": 1, "weights_sha256": "0" * 64, "files": {}, "parts": {"c": part | c}}
    (folder / "export").mkdir(parents=True)
    (folder / "export" / "export.json").write_text(json.dumps(record))
    return folder


def test_a_run_that_was_not_exported_has_no_section(tmp_path: Path) -> None:
    assert deployment(tmp_path) is None


def test_it_shows_accuracy_memory_boards_and_fine_tuning(tmp_path: Path) -> None:
    text = deployment(exported(tmp_path))
    assert text is not None
    assert "Forms of the network, on 100 test images of shapes" in text
    assert ">int8 (C), after --qat<" in text
    for shown in ("86.00 %", "85.00 %", "84.00 % to 86.00 %", "105.3", "96,756", "21,524", "10 to 21"):
        assert f">{shown}<" in text, shown
    assert "never a measurement" in text
    assert "ran in QEMU on 200 images" in text
    assert "3 epochs with its roundings: 80.00 % before, 84.00 % after" in text
    assert "from which the run itself learned" in text
    assert "<b>M4" not in text  # a name is text


def test_a_form_that_was_not_measured_has_no_figures(tmp_path: Path) -> None:
    text = deployment(exported(tmp_path, accuracy=None, reference=None, emulated=None, qat=None))
    assert text is not None
    assert "%" not in text.replace("95 %", "")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"flash": {}}, "KeyError 'weights'"),
        ({"bytes": "many"}, "field 'forms[0].bytes' must be int, got 'many'"),
        ({"accuracy": measured(7.0)}, "field 'forms[0].accuracy.accuracy' must be a number from 0 to 1"),
        ({"boards": 3}, "TypeError"),
    ],
)
def test_a_damaged_record_is_one_line_with_the_way_out(
    broken: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ReportError) as caught:
        deployment(exported(tmp_path, **broken))
    assert says in str(caught.value)
    assert "export again with python -m export, or remove the folder" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_pages_of_a_run_and_of_a_search_have_it(
    make_run: Callable[..., Path], make_search: Callable[..., Path]
) -> None:
    run, search = make_run(), make_search()
    exported(run)
    exported(search / "best")
    for folder in (run, search):
        text = write_report(open_run(folder)).read_text()
        assert 'href="#deployment"' in text
        assert 'id="deployment-boards"' in text
