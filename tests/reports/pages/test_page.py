import html
import json
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reports.errors import ReportError
from reports.pages.page import write_report, write_search_report
from reports.runs import open_run, open_search

HOSTILE = '</script><script>alert("x")</script>'
VOID = {"meta", "img", "input", "br"}


class Outline(HTMLParser):
    """Collects what a test asks about, and fails on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{name} would be an inline script"
            assert name != "style", "the policy forbids inline styles"
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href"):
                self.links.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def island(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])


@pytest.fixture
def search_page(make_search: Callable[..., Path]) -> str:
    return write_search_report(make_search()).read_text()


def test_the_page_of_50_trials_is_well_formed_and_small(search_page: str) -> None:
    outline = Outline(search_page)
    assert len(outline.ids) == len(set(outline.ids))
    assert len(search_page.encode()) <= 300_000


def test_the_page_needs_no_network(search_page: str) -> None:
    for link in Outline(search_page).links:
        assert link.startswith(("#", "data:"))
    assert "@import" not in search_page
    assert "url(" not in search_page


def test_every_link_inside_the_page_leads_somewhere(search_page: str) -> None:
    outline = Outline(search_page)
    targets = [link[1:] for link in outline.links if link.startswith("#")]
    assert len(targets) > 10
    assert set(targets) <= set(outline.ids)


def test_every_picture_has_words(search_page: str) -> None:
    pictures = re.findall(r"<img [^>]*>", search_page)
    assert pictures
    assert all(re.search(r' alt="[^"]{20,}"', picture) for picture in pictures)
    drawings = re.findall(r"<svg [^>]*>", search_page)
    spoken = [each for each in drawings if 'role="img"' in each and re.search(r'aria-label="[^"]+"', each)]
    decoration = [each for each in drawings if 'aria-hidden="true"' in each or "preserveAspectRatio" in each]
    assert len(spoken) >= 6  # five stages and the confusion matrix
    assert len(spoken) + len(decoration) == len(drawings)


def test_the_page_is_the_same_bytes_for_the_same_run(
    make_search: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_search(trials=6)
    first = write_search_report(folder, tmp_path / "a.html").read_bytes()
    assert write_search_report(folder, tmp_path / "b.html").read_bytes() == first


def test_the_page_says_loudly_which_data_it_is_about(search_page: str) -> None:
    words = " ".join(Outline(search_page).text)
    assert "Data set: shapes (drawn, NOT CIFAR-10)" in words
    assert "every number here was measured on shapes instead" in words


def test_the_page_holds_the_numbers_of_the_records(make_search: Callable[..., Path]) -> None:
    folder = make_search()
    text = write_search_report(folder).read_text()
    run = open_search(folder)
    data = island(text)
    assert data["winner"] == run.record.winner
    by_number = {trial.number: trial for trial in run.trials}
    assert sorted(data["number"]) == sorted(by_number)
    for index, number in enumerate(data["number"]):
        trial = by_number[number]
        assert data["params"][index] == trial.params
        assert data["score"][index] == (None if trial.score is None else pytest.approx(trial.score, rel=1e-4))
        assert [values[index] for values in data["values"]] == list(trial.values.values())
        assert len(data["curves"][index]) == len(trial.epochs)
    words = " ".join(Outline(text).text)
    assert f"{100 * run.best.record.test_accuracy:.2f} %" in words
    assert "n = 1 run, 12 epochs; 2,000 images, standard error 0.75 points" in words


def test_the_winner_is_drawn_with_what_rfcalc_measures(search_page: str) -> None:
    # The network of the fixture by hand: strides 1, 2, 2, 2; C3 and C4 each end in a layer of dilation 2.
    for stage, output, field in (
        ("c1", "32x32x32", 3),
        ("c2", "48x16x16", 9),
        ("c3", "96x8x8", 29),
        ("c4", "128x4x4", 69),
    ):
        assert f'aria-label="{stage}: output {output}, receptive field {field}"' in search_page
    assert "the budget judges the RF at output.0: 69 pixels" in search_page
    assert "class Net(nn.Module):" in search_page


def commands(text: str) -> list[str]:
    section = text.split('<section id="use">')[1].split("</section>")[0]
    return [html.unescape(line) for line in re.findall(r"<code>(.*?)</code>", section)]


def test_the_page_has_the_commands_that_use_the_winner(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=4)
    assert commands(write_search_report(folder).read_text()) == ["python -m reports rf runs/search/demo"]
    (folder / "best" / "best.safetensors").write_bytes(b"weights")
    assert commands(write_search_report(folder).read_text()) == [
        "python train.py --predict cat.png dog.jpg --weights runs/search/demo",
        "python -m serve runs/search/demo",
        "python -m export runs/search/demo --to onnx,int8,c,html",
        "python -m reports rf runs/search/demo",
    ]


def test_weights_without_a_spec_are_used_with_the_file_that_builds_them(
    make_run: Callable[..., Path],
) -> None:
    folder = make_run(spec=None, target="my nets.py:Net")
    (folder / "best.safetensors").write_bytes(b"weights")
    (folder / "model.py").unlink()
    assert commands(write_report(open_run(folder)).read_text()) == [
        "python train.py --predict cat.png dog.jpg --weights runs/train/train --model 'my nets.py:Net'",
        "python -m serve runs/train/train --model 'my nets.py:Net'",
        "python -m export runs/train/train --model 'my nets.py:Net'",
    ]


def test_the_page_holds_each_layer_of_the_trials_once(make_climb: Callable[..., Path]) -> None:
    folder = make_climb()
    data = island(write_search_report(folder).read_text())
    networks = data["networks"]
    assert len(networks["layers"]) == len({tuple(layer) for layer in networks["layers"]})
    trial = open_search(folder).trials[3]
    stages = networks["known"][networks["of"][data["number"].index(3)]]
    found = [
        (networks["stages"][at], [networks["layers"][each][0] for each in layers]) for at, layers in stages
    ]
    width = trial.values["c1_width"]
    assert found[0] == ("c1", [f"conv {width}, stride 2", f"depthwise separable {width}, shortcut, silu"])
    assert [name for name, _ in found] == ["c1", "c2", "c3", "c4", "output"]


def test_hostile_names_stay_text(make_search: Callable[..., Path]) -> None:
    classes = (HOSTILE, *(f"class {n}" for n in range(9)))
    folder = make_search(trials=4, name=HOSTILE, command=HOSTILE, reason=HOSTILE, state="exhausted")
    from dataclasses import replace

    from records.files import write_json

    record = open_search(folder).best.record
    dataset = replace(record.dataset, classes=classes, title=HOSTILE, notice=HOSTILE)
    shares = dict.fromkeys(classes, 0.5)
    hostile = replace(record, network=HOSTILE, dataset=dataset, per_class=shares, recipe={HOSTILE: HOSTILE})
    write_json(folder / "best" / "run.json", hostile.to_json())
    (folder / "best" / "model.py").write_text(f"# {HOSTILE}\n" + (folder / "best" / "model.py").read_text())
    text = write_search_report(folder).read_text()
    assert "<script>alert" not in text
    outline = Outline(text)
    assert outline.tags.count("script") == 2
    assert any(HOSTILE in piece for piece in outline.text)


def test_a_search_without_a_trial_still_has_a_page(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=0, best=False, state="running", stage="trials", verdict=(), importances={})
    words = " ".join(Outline(write_search_report(folder).read_text()).text)
    assert "Not finished" in words
    assert "none has an accuracy yet" in words


def test_a_search_that_broke_off_shows_what_there_is(make_search: Callable[..., Path]) -> None:
    changes = {"state": "stopped", "stage": "trials", "reason": "ten failures in a row", "verdict": ()}
    text = write_search_report(
        make_search(trials=12, best=False, finalists=(), winner=None, **changes)
    ).read_text()
    words = " ".join(Outline(text).text)
    assert "ten failures in a row" in words
    assert "Best so far, validation" in words
    assert len(island(text)["number"]) == 12


def test_a_network_that_cannot_be_analysed_is_said_and_the_rest_is_there(
    make_search: Callable[..., Path],
) -> None:
    folder = make_search(trials=4)
    (folder / "best" / "model.py").write_text("raise RuntimeError('no')")
    words = " ".join(Outline(write_search_report(folder).read_text()).text)
    assert "The network is not drawn" in words
    assert "Confusion matrix" in words


def test_categories_of_the_search_space_are_kept(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=4)
    path = folder / "trials" / "0-1.json"
    trial = json.loads(path.read_text())
    trial["values"]["activation"] = "gelu"
    path.write_text(json.dumps(trial))
    data = island(write_search_report(folder).read_text())
    column = data["values"][data["names"].index("activation")]
    values = [None if at is None else column["words"][at] for at in column["at"]]
    assert values[data["number"].index(0)] == "gelu"
    assert values.count(None) == 3


def test_a_training_run_has_a_page_of_its_own(make_run: Callable[..., Path]) -> None:
    text = write_report(open_run(make_run())).read_text()
    outline = Outline(text)
    assert "epochs-table" in outline.ids
    assert island(text)["epochs"]["val_loss"] == [None] * 12
    assert len(text.encode()) < 300_000


def test_a_run_without_an_accuracy_says_so(make_run: Callable[..., Path]) -> None:
    folder = make_run(test_accuracy=None, per_class=None, confusion=None, epochs=(), finished=False)
    words = " ".join(Outline(write_report(open_run(folder)).read_text()).text)
    assert "no accuracy was measured" in words
    assert "No epoch was finished." in words


def test_nothing_is_left_behind_where_the_page_cannot_be_written(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=2)
    before = sorted(folder.rglob("*"))
    with pytest.raises(ReportError, match=r"cannot be written"):
        write_search_report(folder, folder / "search.json" / "report.html")
    with pytest.raises(ReportError, match="is a folder"):
        write_search_report(folder, folder / "trials")
    assert sorted(folder.rglob("*")) == before


def test_a_large_picture_is_made_smaller(make_run: Callable[..., Path]) -> None:
    import numpy
    from PIL import Image

    folder = make_run()
    noise = numpy.random.default_rng(0).integers(0, 255, (300, 900, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(folder / "mistakes.png")
    assert (folder / "mistakes.png").stat().st_size > 700_000
    text = write_report(open_run(folder)).read_text()
    assert "data:image/webp;base64," in text
    assert len(text.encode()) < 500_000


@pytest.mark.slow
def test_the_page_of_5000_trials_stays_below_its_size_and_time(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=5000)
    start = time.process_time()
    size = write_search_report(folder).stat().st_size
    assert size < 1_500_000
    assert time.process_time() - start < 30
