"""report.html: what is on it, themes, phones, and what it stops."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from records.search import PresetRun
from reports.pages.page import write_report, write_search_report
from reports.runs import open_run, open_search
from reports.tables.table import millions
from tests.reports.browser.report_pages import ROWS, Show, search_dataset
from tests.reports.browser.report_pages import report as report


def test_every_chart_is_drawn(report: Path, page: Show) -> None:
    browser = page(report)
    for chart in ("best-so-far", "by-params", "by-macs", "learning", "parallel"):
        assert browser.run(f"document.querySelectorAll('#{chart} svg path').length") >= 4
    assert browser.run("document.getElementById('shown').textContent") == "48 shown"


def test_the_table_of_trials_holds_the_numbers_of_the_json(report: Path, page: Show) -> None:
    browser = page(report)
    rows = browser.run(f"{ROWS}.map((row) => [...row.cells].map((cell) => cell.textContent))")
    trials = {trial.number: trial for trial in open_search(report.parent).trials}
    assert len(rows) == len(trials)
    for number, state, accuracy, params, macs, field, *_ in rows:
        trial = trials[int(number)]
        assert state == trial.state
        assert accuracy == ("-" if trial.score is None else f"{100 * trial.score:.2f} %")
        assert params == f"{trial.params:,}"
        assert macs == millions(trial.macs)
        assert field == str(trial.receptive_field)


def inside(selector: str) -> str:
    """JavaScript: whether every element that the selector finds lies within the width of the window."""
    return f"""[...document.querySelectorAll({selector!r})].every((each) => {{
        const box = each.getBoundingClientRect();
        return box.width > 0 && box.left >= 0 && box.right <= innerWidth;
    }})"""


PRESETS = (PresetRun("tiny", 0.76, 97_942, 8_000_000, 69, 12, 26.8),)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_the_first_screen_says_how_the_winner_stands_to_the_presets(
    make_search: Callable[..., Path], page: Show, width: int, height: int
) -> None:
    browser = page(write_search_report(make_search(presets=PRESETS)), width=width, height=height)
    text, bottom = browser.run("""(() => {
        const words = document.querySelector('.against');
        return [words.textContent, words.getBoundingClientRect().bottom];
    })()""")
    assert bottom <= height
    assert "beats the best preset, tiny, by 8.6 points" in text
    assert "standard error" in text


def test_a_phone_shows_the_verdict_of_every_limit(report: Path, page: Show) -> None:
    browser = page(report, width=390, height=844)
    assert browser.run(inside("#verdict td.yes"))
    assert browser.run("document.querySelectorAll('#verdict td.yes').length") == 7
    assert browser.run(inside("#verdict tr > :nth-child(3)"))
    assert browser.run("document.documentElement.scrollWidth") == 390


def test_every_name_of_the_confusion_matrix_lies_in_the_picture(
    make_search: Callable[..., Path], page: Show
) -> None:
    names = ("a", "b", "c", "d", "e", "f", "g", "h", "short", "a name of 14 l")
    changed = dataclasses.replace(search_dataset(make_search), classes=names)
    browser = page(write_search_report(make_search(dataset=changed)))
    outside = browser.run("""(() => {
        const frame = document.querySelector('.matrix').getBoundingClientRect();
        return [...document.querySelectorAll('.matrix text')].filter((text) => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1;
        }).map((text) => text.textContent);
    })()""")
    assert outside == []


def test_the_last_training_does_not_press_the_trials_together(report: Path, page: Show) -> None:
    def spread(accuracy: float) -> tuple[float, str]:
        path = report.parent / "best" / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "test_accuracy": accuracy}))
        browser = page(write_search_report(report.parent))
        share = browser.run("""(() => {
            const boxes = [...document.querySelectorAll('#by-params svg path')]
                .filter((path) => ['dot', 'cross'].includes(path.getAttribute('class')))
                .map((path) => path.getBBox());
            const top = Math.min(...boxes.map((box) => box.y));
            return (Math.max(...boxes.map((box) => box.y + box.height)) - top) / 340;
        })()""")
        return share, browser.run("document.querySelector('#by-params svg').textContent")

    within, words = spread(0.85)
    assert "above the scale" not in words
    far, words = spread(0.9955)
    assert "99.55 % ↑ above the scale" in words
    assert far > 0.6
    assert within > 0.6


def test_an_axis_on_which_all_trials_are_the_same_is_words(report: Path, page: Show) -> None:
    axes = "[...document.querySelectorAll('#parallel text.strong')].map((text) => text.textContent)"
    assert "RF" in page(report).run(axes)
    for path in (report.parent / "trials").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "receptive_field": 69}))
    browser = page(write_search_report(report.parent))
    assert "RF" not in browser.run(axes)
    assert "params" in browser.run(axes)
    assert browser.run("byId('constant').textContent") == "The same for all trials: RF 69."


def test_the_theme_follows_the_system_and_can_be_switched(report: Path, page: Show) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    browser = page(report, dark=True)
    dark = browser.run(ground)
    browser.run("theme.click()")  # system -> light
    light = browser.run(ground)
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    browser.run("theme.click()")  # light -> dark
    assert browser.run(ground) == dark


def test_a_phone_needs_no_sideways_scrolling_of_the_page(report: Path, page: Show) -> None:
    browser = page(report, width=390, height=844)
    assert browser.run("document.documentElement.scrollWidth") == 390


def test_hostile_names_do_not_run(make_search: Callable[..., Path], page: Show) -> None:
    bad = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    folder = make_search(trials=5, name=bad, command=bad)
    path = folder / "trials" / "0-1.json"
    trial = json.loads(path.read_text())
    trial["values"] = {bad: bad}
    path.write_text(json.dumps(trial))
    browser = page(write_search_report(folder))
    assert browser.run("window.hacked") is None
    assert bad in browser.run("document.querySelector('h1').textContent")


def test_the_policy_stops_what_is_not_the_pages_own(report: Path, browser: Any) -> None:
    browser.open(report)
    browser.blocked.clear()
    browser.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.foreign = 1';"
        " document.body.append(s); })()"
    )
    assert browser.run("window.foreign") is None
    browser.run(
        "new Promise((done) => { const i = new Image(); i.onerror = i.onload = () => done(1);"
        " i.src = 'http://127.0.0.1:9/x.png'; })"
    )
    assert browser.blocked == ["csp"]


def test_a_training_runs_page_draws_its_curves(make_run: Callable[..., Path], page: Show) -> None:
    browser = page(write_report(open_run(make_run())))
    assert browser.run("document.querySelectorAll('#accuracy-by-epoch svg path.line').length") >= 1
    assert browser.run("document.querySelectorAll('#loss svg path.line').length") >= 1


def test_the_curves_stand_beside_the_chart_as_a_table(report: Path, page: Show) -> None:
    browser = page(report)
    lines = browser.run("csvMakers['curves-table']()").splitlines()
    assert lines[0] == "trial,state,epoch 1,epoch 2,epoch 3,epoch 4,epoch 5,epoch 6"
    trials = {trial.number: trial for trial in open_search(report.parent).scored}
    assert len(lines) == 1 + len(trials)
    for line in lines[1:]:
        number, _, *values = line.split(",")
        reached = [epoch.val_accuracy for epoch in trials[int(number)].epochs]
        assert [float(value) for value in values if value] == pytest.approx(reached, rel=1e-3)


def test_published_networks_can_be_read_and_taken_away(make_search: Callable[..., Path], page: Show) -> None:
    folder = make_search(trials=12)
    for path in (folder / "search.json", folder / "best" / "run.json"):
        facts = json.loads(path.read_text())
        facts["dataset"] |= {"name": "cifar10", "kind": "cifar10", "title": "CIFAR-10", "notice": None}
        path.write_text(json.dumps(facts))
    browser = page(write_search_report(folder))
    assert browser.run("document.querySelectorAll('#by-params path.published').length") == 1
    browser.run("document.querySelector('#by-params svg').focus()")
    browser.key("ArrowLeft")  # from nowhere to the last mark: the largest published network in reach
    assert "published" in browser.run("document.querySelector('.tip').textContent")
    browser.run("document.getElementById('published').click()")
    assert browser.run("document.querySelectorAll('#by-params path.published')[0].getAttribute('d')") == ""
