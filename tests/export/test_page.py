"""The page of a network in a headless Chromium: it answers as torch does, whatever its classes are called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.page.page import page
from tests.export.conftest import Case
from tests.reports.browser.conftest import Browser, chromium

HOSTILE = "</script><img src=x onerror=alert(1)>@MODEL@"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    opened = Browser(chromium())
    yield opened
    opened.close()


@pytest.mark.parametrize(("name", "count"), [("mixed", 20), ("residual-mcu", 2)])
def test_the_browser_computes_the_logits_of_torch(
    name: str, count: int, case: Callable[[str], Case], browser: Browser, tmp_path: Path
) -> None:
    found = case(name)
    (tmp_path / "page.html").write_text(page(found.subject, found.graph), encoding="utf-8")
    browser.open(tmp_path / "page.html")
    rows = []
    for image in found.images[:count]:
        pixels = json.dumps(image.reshape(-1).tolist())
        rows.append(browser.run(f"window.rfcalc.logits(Uint8Array.from({pixels}))"))
    np.testing.assert_allclose(np.array(rows), found.logits[:count], atol=1e-3)
    assert browser.problems == []


def test_a_dropped_picture_is_answered_under_any_name(
    case: Callable[[str], Case], browser: Browser, tmp_path: Path
) -> None:
    found = case("mixed")
    subject = replace(found.subject, name=HOSTILE, classes=(HOSTILE, "b", "c", "d"))
    text = page(subject, found.graph)
    assert text.count("<img") == 0
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    browser.open(tmp_path / "page.html")
    said = browser.run(
        """(async () => {
        const picture = new OffscreenCanvas(40, 30);
        picture.getContext("2d").fillRect(0, 0, 40, 30);
        const file = new File([await picture.convertToBlob()], "black.png", {type: "image/png"});
        const transfer = new DataTransfer();
        transfer.items.add(file);
        document.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, cancelable: true}));
        while (!document.querySelector("li")) await new Promise((resolve) => setTimeout(resolve, 20));
        return document.getElementById("answer").textContent + document.querySelector("h1").textContent;
    })()"""
    )
    assert said.count(HOSTILE) == 2
    assert "%" in said
    assert browser.problems == []
