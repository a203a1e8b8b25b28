"""The next command at the end of every command: what is shown can be typed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from export.__main__ import PROGRAM as EXPORT
from records.next_steps import (
    Step,
    after_comparison,
    after_comparison_page,
    after_evaluation,
    after_explorer,
    after_export,
    after_prediction,
    after_report,
    after_search,
    after_standing,
    after_training,
    resumed,
    shown,
)
from reports.__main__ import PROGRAM as REPORTS
from rfcalc.command.arguments import parse as parse_rfcalc
from search.options import parse as parse_search
from serve.__main__ import PROGRAM as SERVE
from training.command.options import parse as parse_train

PARSERS: dict[tuple[str, ...], Callable[[Sequence[str]], object]] = {
    ("python", "train.py"): parse_train,
    ("python", "-m", "reports"): REPORTS.parse,
    ("python", "-m", "serve"): SERVE.parse,
    ("python", "-m", "export"): EXPORT.parse,
    ("python", "-m", "rfcalc"): parse_rfcalc,
    ("python", "-m", "search"): parse_search,
}
RUN = Path("runs/train/my run")


@pytest.mark.parametrize(
    "steps",
    [
        after_training(RUN),
        after_training(RUN, "net.py:Net"),
        after_search(RUN, trained=True),
        after_search(RUN, trained=False),
        after_report(RUN),
        after_evaluation(RUN, "net.py:Net"),
        after_prediction(RUN),
        after_standing(RUN, goes_on=True, ended=False, trained=False),
        after_standing(RUN, goes_on=False, ended=False, trained=False),
        after_standing(RUN, goes_on=False, ended=True, trained=True),
        after_explorer("net.py:Net", "3x64x64"),
        after_comparison(["a", "resnet20@3x64x64"]),
        after_comparison(["a", "b"], size="3x64x64", layers=True),
        after_comparison_page("net.py:Net", "3x64x64"),
        after_export("tiny@3x16x16", trained=False),
        after_export(str(RUN), trained=True, served=True, page=RUN),
        after_export(str(RUN), trained=True, model="net.py:Net"),
    ],
)
def test_every_command_that_is_shown_is_one_that_is_taken(steps: list[Step]) -> None:
    assert steps
    for words, _ in steps:
        texts = [str(word) for word in words]
        start = tuple(texts[:2]) if texts[1] == "train.py" else tuple(texts[:3])
        assert PARSERS[start](texts[len(start) :])


def test_commands_are_quoted_and_lie_below_one_another() -> None:
    first, second = shown(after_training(RUN)[:2]).splitlines()
    assert first.startswith("next  python -m reports 'runs/train/my run' ")
    assert second.startswith("      python train.py --predict IMAGE --weights 'runs/train/my run'")
    assert first.index("#") == second.index("#")


def test_after_an_export_the_service_takes_the_file_where_it_finds_it() -> None:
    served = after_export("run", trained=True, served=True)
    elsewhere = after_export("run", trained=True, served=False, model="net.py:Net")
    assert served == [(["python", "-m", "serve", "run"], "answer over HTTP, from the ONNX file")]
    assert elsewhere == [(["python", "-m", "serve", "run", "--model", "net.py:Net"], "answer over HTTP")]
    (words, _), *_ = after_export("tiny@3x16x16", trained=False)
    assert words[-1] == "tiny"


def test_a_search_that_broke_off_is_continued_where_it_lies() -> None:
    assert resumed(Path("runs/search/a")) == ["python", "-m", "search", "--resume", "--name", "a"]
    assert resumed(Path("there/a"))[-2:] == ["--out", "there"]
    steps = after_standing(Path("there/a"), goes_on=False, ended=False, trained=False)
    assert steps[0] == (resumed(Path("there/a")), "continue it")
    assert [does for _, does in after_standing(RUN, goes_on=True, ended=False, trained=False)] == [
        "its page, with what there is so far"
    ]
