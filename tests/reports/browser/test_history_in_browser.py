"""The course of a search on its page, and the trial that a click opens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.pages.page import write_search_report
from reports.runs import open_search
from reports.tables import history

Show = Callable[..., Any]


@pytest.fixture
def report(make_climb: Callable[..., Path]) -> Path:
    return write_search_report(make_climb(trials=30))


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_the_first_screen_has_the_verdict_with_interval_and_n(
    report: Path, page: Show, width: int, height: int
) -> None:
    browser = page(report, width=width, height=height)
    text, bottom = browser.run("""(() => {
        const verdict = document.querySelector('.verdict');
        return [verdict.textContent, verdict.getBoundingClientRect().bottom];
    })()""")
    assert text.startswith("Beats the best preset")
    assert "95 % interval -0.0800 to -0.0400, n = 2 seeds each" in text
    assert bottom <= height


def test_the_line_of_the_best_so_far_steps_at_each_improvement(report: Path, page: Show) -> None:
    browser = page(report)
    steps = [row[0] for row in history.improvements(open_search(report.parent)).rows]
    path = browser.run("document.querySelector('#best-so-far path.best').getAttribute('d')")
    assert len(steps) > 1
    assert path.count("V") == len(steps) - 1  # the first is where the line begins


def test_the_scale_is_fitted_to_completed_trials_and_others_lie_at_its_edge(report: Path, page: Show) -> None:
    trials = report.parent / "trials"
    run = open_search(report.parent)
    pruned = next(trial for trial in run.trials if trial.state == "pruned")
    path = trials / f"{pruned.number}-1.json"
    found = json.loads(path.read_text())
    found["score"] = found["epochs"][-1]["val_accuracy"] = 0.01
    found["epochs"][-1]["val_loss"] = 50.0
    path.write_text(json.dumps(found))
    browser = page(write_search_report(report.parent))
    labels = browser.run("""['best-so-far', 'by-params'].map((id) => [...document.querySelectorAll(
        `#${id} text[text-anchor="end"]:not([class])`)].map((text) => parseFloat(text.textContent)))""")
    assert max(labels[0]) < 2
    assert min(labels[1]) > 40
    fitted = browser.run("[...document.querySelectorAll('#parallel text')].map((text) => text.textContent)")
    assert "1.00 %" not in fitted
    # A brush down to the floor of the axis keeps what lies below it.
    x, top, bottom = browser.run("""(() => {
        const band = document.querySelector('[data-axis="score"]');
        band.scrollIntoView({block: 'center', inline: 'end'});
        const box = band.getBoundingClientRect();
        return [box.left + box.width / 2, box.top, box.bottom];
    })()""")
    middle = (top + bottom) / 2
    browser.mouse("mouseMoved", x, bottom - 1)
    browser.mouse("mousePressed", x, bottom - 1)
    browser.mouse("mouseMoved", x, middle)
    browser.mouse("mouseReleased", x, middle)
    browser.frame()
    rows = "[...document.querySelectorAll('#trials-table tbody th')]"
    shown = browser.run(f"{rows}.map((cell) => +cell.textContent)")
    assert pruned.number in shown
    assert len(shown) < len(run.scored)


def test_lines_are_coloured_by_accuracy(report: Path, page: Show) -> None:
    browser = page(report)
    run = open_search(report.parent)
    complete = [trial.score or 0.0 for trial in run.scored if trial.state == "complete"]
    low, high = min(complete), max(complete)
    shares = [((trial.score or 0.0) - low) / (high - low) for trial in run.scored]
    ranks = [max(0, min(4, int(5 * share))) for share in shares]
    drawn = browser.run("""[...document.querySelectorAll('#learning path[class*="rank-"]')].map((path) =>
        (path.getAttribute('d').match(/M/g) || []).length)""")
    assert drawn == [ranks.count(rank) for rank in range(5)]
    colours = browser.run("""[...document.querySelectorAll('#learning path[class*="rank-"]')].map((path) =>
        getComputedStyle(path).stroke)""")
    assert len(set(colours)) == 5


def test_a_cost_that_all_trials_share_is_words_and_no_front(
    make_climb: Callable[..., Path], page: Show
) -> None:
    folder = make_climb()
    for path in (folder / "trials").glob("*.json"):
        found = json.loads(path.read_text())
        path.write_text(json.dumps({**found, "params": 99_000 + found["number"]}))
    browser = page(write_search_report(folder))
    assert browser.run("document.getElementById('by-params')") is None
    assert browser.run("document.querySelectorAll('#by-macs svg').length") == 1
    assert "Parameters are no axis here: all complete trials have 99,0" in browser.run(
        "document.querySelector('.level').textContent"
    )
    assert "params 99 k" in browser.run("byId('constant').textContent")


OPENED = "document.getElementById('opened')"


def test_a_click_opens_the_network_and_the_curve_of_a_trial(report: Path, page: Show) -> None:
    browser = page(report)
    trial = next(each for each in open_search(report.parent).trials if each.number == 5)
    assert browser.run(f"{OPENED}.hidden")
    browser.run("""[...document.querySelectorAll('#trials-table tbody tr')]
        .find((row) => row.cells[0].textContent === '5').click()""")
    browser.frame()
    text = browser.run(f"{OPENED}.textContent")
    assert text.startswith("Trial 5")
    for words in (f"{trial.params:,}", "comes from", "changed" + "; ".join(trial.moves)):
        assert words in text
    layers = browser.run(f"[...{OPENED}.querySelectorAll('.layered li li')].map((each) => each.textContent)")
    assert layers[:2] == [
        f"conv {trial.values['c1_width']}, stride 2",
        f"depthwise separable {trial.values['c1_width']}, shortcut, silu",
    ]
    assert layers[-1] == "conv-gap"
    assert browser.run("document.querySelectorAll('#opened-curve path.line.on').length") == 2  # curve and key
    label = browser.run("document.querySelector('#opened-growth svg').getAttribute('aria-label')")
    assert label.startswith(f"The receptive field ends at {trial.receptive_field} pixels after 3 layers")
    # Its parent is one step away, and the same row closes it.
    browser.run(f"{OPENED}.querySelector('dd button').click()")
    assert browser.run(f"{OPENED}.querySelector('h2').textContent") in ("residual", "Trial 2")
    browser.run(f"{OPENED}.querySelector('.caption button').click()")
    assert browser.run(f"{OPENED}.hidden")


def test_the_keyboard_opens_a_trial_and_comes_back(report: Path, page: Show) -> None:
    browser = page(report)
    browser.run("document.querySelector('#best-so-far svg').focus()")
    browser.key("ArrowRight")
    browser.key("ArrowRight")
    browser.key("Enter", "\r")
    assert browser.run("document.activeElement === document.querySelector('#opened h2')")
    assert browser.run("document.activeElement.textContent") == "residual"
    browser.key("Escape")
    assert browser.run(f"{OPENED}.hidden")
    assert browser.run("document.activeElement === document.querySelector('#best-so-far svg')")
    browser.key("ArrowRight")
    assert browser.run("document.querySelector('.tip').textContent").startswith("trial 2")


def test_the_growth_of_the_receptive_field_is_drawn_for_the_winner(report: Path, page: Show) -> None:
    browser = page(report)
    label = browser.run("document.querySelector('#growth svg').getAttribute('aria-label')")
    assert label.startswith("The receptive field ends at 69 pixels after")
    words = browser.run("[...document.querySelectorAll('#growth text.name')].map((text) => text.textContent)")
    assert words == ["side of the image, 32", "required, 53"]


@pytest.mark.parametrize("dark", [False, True])
def test_no_text_of_a_chart_is_smaller_than_10_pixels_on_a_phone(
    report: Path, page: Show, dark: bool
) -> None:
    browser = page(report, width=390, height=844, dark=dark)
    browser.run("document.querySelector('#trials-table tbody tr').click()")
    small = browser.run("""[...document.querySelectorAll('svg text')].filter((text) => {
        const turned = text.getScreenCTM();  // the names above the confusion matrix
        const size = parseFloat(getComputedStyle(text).fontSize) * Math.hypot(turned.a, turned.b);
        return text.getClientRects().length && size > 0 && size < 9.99;
    }).map((text) => text.textContent)""")
    assert small == []
