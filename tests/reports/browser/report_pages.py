"""The report of a made search, for the tests in a browser."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from records.run import DatasetFacts
from reports.pages.page import write_search_report
from reports.runs import open_search

Show = Callable[..., Any]


ROWS = "[...document.querySelectorAll('#trials-table tbody tr')]"


@pytest.fixture
def report(make_search: Callable[..., Path]) -> Path:
    return write_search_report(make_search())


def search_dataset(make_search: Callable[..., Path]) -> DatasetFacts:
    """The data set of a made-up search."""
    folder = make_search(trials=1, best=False)
    found = open_search(folder).record.dataset
    shutil.rmtree(folder)
    return found


def place(browser: Any, number: int) -> tuple[float, float]:
    """Where the trial's point is in the first scatter, by the page's own data and the labels of its ticks."""
    return browser.run(f"""(() => {{
        const at = data.number.indexOf({number});
        const svg = document.querySelector('#by-params svg');
        svg.scrollIntoView({{block: 'center'}});
        const box = svg.getBoundingClientRect();
        const ticks = [...svg.querySelectorAll('text:not([class])')].map((text) => ({{
            x: +text.getAttribute('x'), y: +text.getAttribute('y'), anchor: text.getAttribute('text-anchor'),
            value: parseFloat(text.textContent) * (text.textContent.endsWith('k') ? 1000 : 1)}}));
        const between = (known, value, where) => {{
            const [a, b] = [known[0], known[known.length - 1]];
            return a[where] + (b[where] - a[where]) * (value - a.value) / (b.value - a.value);
        }};
        const x = between(ticks.filter((tick) => tick.anchor === 'middle'), data.params[at], 'x');
        const y = between(ticks.filter((tick) => tick.anchor === 'end'), 100 * data.score[at], 'y') - 4;
        return [box.left + x, box.top + y];
    }})()""")
