"""What a screen reader calls the things that the keyboard reaches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.pages.compare_page import compare_page
from reports.pages.explorer_page import explorer_page
from reports.pages.page import write_search_report
from reports.tables import compare

EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "decoder.py")


def write(name: str, path: Path, make_climb: Callable[..., Path]) -> None:
    match name:
        case "report":
            write_search_report(make_climb(), path)
        case "explorer":
            path.write_text(explorer_page(EXAMPLE, (3, 32, 32), images=0), encoding="utf-8")
        case "comparison":
            sides = [compare.look(each) for each in (EXAMPLE, "resnet8")]
            path.write_text(compare_page(sides), encoding="utf-8")


@pytest.mark.parametrize("name", ["report", "explorer", "comparison"])
def test_everything_that_takes_the_focus_has_a_name(
    name: str, make_climb: Callable[..., Path], tmp_path: Path, page: Callable[..., Any]
) -> None:
    path = tmp_path / "page.html"
    write(name, path, make_climb)
    browser = page(path)
    if name == "report":
        browser.run("document.querySelector('#trials-table tbody tr').click()")
    nameless = []
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        focusable = any(each["name"] == "focusable" for each in node.get("properties", ()))
        if focusable and not node["ignored"] and not node.get("name", {}).get("value"):
            nameless.append(node["role"]["value"])
    assert nameless == []
