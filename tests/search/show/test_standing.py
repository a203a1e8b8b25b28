"""How a search stands, drawn."""

from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console

from records.trial import TrialRecord
from search.show.standing import Curve, Standing, best_of, duration, history_of, sparkline, thinned


def _trial(number: int, score: float | None, state: str = "complete") -> TrialRecord:
    return TrialRecord(
        number=number, attempt=1, state=state, spec={}, recipe={}, seed=0, values={}, params=98_765,
        macs=12_300_000, receptive_field=61, margins={}, score=score, seconds=10.0,
    )  # fmt: skip


def test_a_sparkline_spans_the_given_scale() -> None:
    assert sparkline([0.0, 0.5, 1.0], 0.0, 1.0) == "▁▅█"
    assert sparkline([0.5, 0.5], 0.5, 0.5) == "▁▁"
    assert sparkline([-1.0, 2.0], 0.0, 1.0) == "▁█"
    assert len(sparkline([0.1] * 200, 0.0, 1.0)) == 30


def test_the_best_is_the_first_of_the_highest_among_the_complete() -> None:
    trials = [_trial(0, 0.5), _trial(1, 0.7), _trial(2, 0.7), _trial(3, 0.9, "pruned"), _trial(4, None)]
    best = best_of(trials)
    assert best is not None
    assert best.number == 1
    assert best_of([]) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(20, "less than a minute"), (150, "2 min"), (3_660, "1 h 01 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_picture_of_a_running_search(golden: Callable[[str, str], None]) -> None:
    standing = Standing(
        counts={"complete": 6, "pruned": 3, "failed": 1, "rejected": 1_204},
        rejections={"max_params": 1_100, "min_receptive_field": 104},
        best=_trial(4, 0.613),
        history=(0.41, 0.41, 0.55, 0.6, 0.6, 0.613),
        running=(
            Curve("trial 10", (0.31, 0.42, 0.58), 4),
            Curve("trial 11 (attempt 2)", (0.22,), 4),
            Curve("trial 12", (), None),
        ),
        per_hour=1_234.0,
        seconds_left=4_000.0,
    )
    console = Console(file=StringIO(), width=100, color_system=None, force_terminal=False)
    console.print(standing)
    assert isinstance(console.file, StringIO)
    text = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"
    golden("search_standing.txt", text)


def test_the_history_has_the_best_of_each_moment() -> None:
    trials = [_trial(2, 0.7), _trial(0, 0.5), _trial(1, 0.4), _trial(3, 0.9, "pruned"), _trial(4, 0.6)]
    assert history_of(trials) == (0.5, 0.5, 0.7, 0.7)
    assert history_of([]) == ()


def test_a_long_history_is_thinned_to_its_end() -> None:
    values = thinned([float(n) for n in range(100)], 10)
    assert (len(values), values[0], values[-1]) == (10, 9.0, 99.0)
    assert thinned([1.0, 2.0], 10) == [1.0, 2.0]


def test_a_terminal_of_ascii_gets_no_blocks() -> None:
    file = TextIOWrapper(BytesIO(), encoding="ascii")
    console = Console(file=file, width=80, color_system=None)
    console.print(Standing(best=_trial(4, 0.6), history=(0.5, 0.6), running=(Curve("trial 10", (0.3,), 4),)))
    file.flush()
    text = file.buffer.getvalue().decode("ascii")
    assert "1/4" in text
    assert "best by trial" not in text


def test_nothing_is_drawn_of_a_search_that_has_not_begun() -> None:
    console = Console(file=StringIO(), width=80)
    console.print(Standing())
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().strip() == ""
