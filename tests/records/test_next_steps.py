"""The next command at the end of every command: what is shown can be typed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from export.__main__ import PROGRAM as EXPORT
from records.next_steps import (
    Step,
    after_comparison,
    after_explorer,
    after_export,
    after_report,
    after_search,
    after_training,
    shown,
)
from reports.__main__ import PROGRAM as REPORTS
from rfcalc.command.arguments import parse as parse_rfcalc
from serve.__main__ import PROGRAM as SERVE
from training.command.options import parse as parse_train

PARSERS: dict[tuple[str, ...], Callable[[Sequence[str]], object]] = {
    ("python", "train.py"): parse_train,
    ("python", "-m", "reports"): REPORTS.parse,
    ("python", "-m", "serve"): SERVE.parse,
    ("python", "-m", "export"): EXPORT.parse,
    ("python", "-m", "rfcalc"): parse_rfcalc,
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
        after_explorer("net.py:Net"),
        after_comparison(["a", "resnet20@3x64x64"]),
        after_export("tiny", trained=False),
        after_export(str(RUN), trained=True),
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
