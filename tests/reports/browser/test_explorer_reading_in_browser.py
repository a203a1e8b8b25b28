"""What the explorer explains: sums, joins, the graph beside the table, play, words, lint."""

from pathlib import Path

from reports.pages.explorer_page import explorer_page
from reports.pages.explorer_words import COLUMNS, FLAGS
from tests.reports.browser.explorer_pages import Show
from tests.reports.browser.explorer_pages import decoder as decoder
from tests.reports.browser.explorer_pages import explorer as explorer


def test_the_readout_has_the_sum_of_the_extent_and_what_a_join_reads(decoder: Path, page: Show) -> None:
    browser = page(decoder)
    browser.run("choose(1, false)")
    assert browser.run("byId('sum').textContent") == "5 = 3 + (3 - 1) x 1 x 1"
    assert "(kernel - 1) x dilation x jump" in browser.run("byId('sum-words').textContent")
    browser.run("choose(4, false)")
    assert browser.run("byId('sum').textContent") == "13 = max(5, 13)"
    assert "joinsdown1.0 and up1" in browser.run("byId('readout').textContent")


def test_play_walks_the_layers_from_the_first_and_a_click_stops_it(decoder: Path, page: Show) -> None:
    browser = page(decoder)
    browser.run("byId('play').click()")
    assert browser.run("state.line") == 0  # the page opens on another one
    assert browser.run("byId('play').textContent") == "Pause"
    browser.run("byId('play').click()")
    assert browser.run("byId('play').textContent") == "Play"


def test_play_goes_on_from_a_layer_that_was_chosen(decoder: Path, page: Show) -> None:
    browser = page(decoder)
    browser.run("choose(3, false); byId('play').click()")
    assert browser.run("state.line") == 3
    browser.run("byId('play').click()")


# The lines of a kind in the strip, each as [name of the row it begins at, name of the one it ends at].
EDGES = """((kind) => {
    const roof = strip.getBoundingClientRect().top;
    const middles = rows.map((row) => {
        const box = row.cells[0].getBoundingClientRect();
        return box.top + box.height / 2 - roof;
    });
    const nameAt = (y) => data.lines[middles.findIndex((middle) => Math.abs(middle - y) < 2)].name;
    return [...strip.querySelectorAll('path.edge' + kind)].map((path) =>
        [0, path.getTotalLength()].map((at) => nameAt(path.getPointAtLength(at).y))).sort();
})"""


def test_the_strip_of_the_graph_leads_from_the_two_maps_that_a_join_reads(decoder: Path, page: Show) -> None:
    browser = page(decoder)
    assert browser.run("data.lines[state.line].name") == "concat#2"  # a join: there is something to see
    assert browser.run(f"{EDGES}('.in')") == [["stem.0", "concat#2"], ["up2", "concat#2"]]
    assert browser.run(f"{EDGES}('.out')") == [["concat#2", "merge2.0"]]
    marked = browser.run("[...document.querySelectorAll('tr.read')].map((row) => row.cells[0].textContent)")
    assert marked == ["stem.0", "up2"]
    browser.run("choose(1, false)")
    assert browser.run(f"{EDGES}('.in')") == [["stem.0", "down1.0"]]
    assert browser.run(f"{EDGES}('.out')") == [["down1.0", "concat"], ["down1.0", "down2.0"]]
    assert "read bydown2.0 and concat" in browser.run("byId('readout').textContent")


def test_a_folded_layer_is_at_its_heading_in_the_strip(explorer: Path, page: Show) -> None:
    browser = page(explorer)
    browser.run("fold('0', false)")
    row, node = (
        browser.run("""[document.querySelector('[data-fold="0"] th'), strip.querySelector('.node')].map(
        (each) => { const box = each.getBoundingClientRect(); return box.top + box.height / 2; })""")
    )
    assert abs(row - node) < 2


DENSE = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(9))

    def forward(self, x):
        seen = [x]
        for conv in self.convs:
            seen.append(conv(sum(seen)))
        return seen[-1]
"""


def test_where_many_arcs_would_cross_those_of_the_chosen_layer_alone_are_drawn(
    page: Show, tmp_path: Path
) -> None:
    (tmp_path / "dense.py").write_text(DENSE)
    path = tmp_path / "rf.html"
    path.write_text(explorer_page(str(tmp_path / "dense.py"), (3, 16, 16), images=0), encoding="utf-8")
    browser = page(path)
    lanes, arcs, others, wide = browser.run("""(() => {
        const arcs = [...strip.querySelectorAll('path.edge')]
            .filter((path) => path.getAttribute('d').includes('Q'));
        return [everyLane, arcs.length, arcs.filter((path) => path.getAttribute('class') === 'edge').length,
            strip.getBoundingClientRect().width];
    })()""")
    assert lanes > 5
    assert arcs > 0
    assert others == 0
    assert wide < 70


def test_words_explain_themselves_on_hover_and_on_focus(decoder: Path, page: Show) -> None:
    browser = page(decoder)
    shown = "[document.querySelector('.tip').hidden, document.querySelector('.tip').textContent]"
    browser.run("document.querySelector('#layers .flag abbr').scrollIntoView({block: 'center'})")
    browser.frame()  # scrolling hides the words
    x, y = browser.run("""(() => {
        const flag = document.querySelector('#layers .flag abbr');
        const box = flag.getBoundingClientRect();
        return [box.left + 4, box.top + 4];
    })()""")
    browser.mouse("mouseMoved", x, y)
    assert browser.run(shown) == [False, FLAGS["misaligned"]]
    browser.mouse("mouseMoved", 2, 2)
    assert browser.run(shown)[0]
    browser.run("document.querySelector('#layers thead th:nth-child(4) abbr').focus()")
    assert browser.run(shown) == [False, COLUMNS["jump, px"]]
    browser.key("Escape")
    assert browser.run(shown)[0]
    # A screen reader gets the same words, and those beside the picture explain themselves, too.
    described = "(each) => each.getAttribute('aria-description')"
    assert browser.run(f"[...document.querySelectorAll('abbr')].every({described})")
    facts = "[...document.querySelectorAll('#readout dt')]"
    assert browser.run(f"{facts}.every((each) => each.querySelector('abbr'))")


def test_lint_leads_to_the_layer_that_it_names(decoder: Path, page: Show) -> None:
    browser = page(decoder)
    assert "checkerboard at up2" in browser.run("document.querySelector('.findings').textContent")
    browser.run("document.querySelector('.findings button').click()")
    assert browser.run("data.lines[state.line].name") == "up2"
    assert browser.run("document.activeElement.dataset.line === String(state.line)")
