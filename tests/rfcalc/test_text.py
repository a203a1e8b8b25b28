"""The wording of figures."""

from fractions import Fraction

import pytest

from rfcalc.text import decimal, listed, nearest, per_axis, percent, plural, shape


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "none"), (0.0123, "1.2 %"), (0.0949, "9.5 %"), (0.5, "50 %"), (0.9999, "99 %"), (1, "100 %")],
)
def test_only_all_of_it_is_100_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_axes_that_agree_are_one_number() -> None:
    assert per_axis((3, 3)) == "3"
    assert per_axis((3, None)) == "3x-"


def test_halves_are_decimals_and_thirds_are_fractions() -> None:
    assert [decimal(v) for v in (None, 2, Fraction(1, 2), Fraction(-1, 4), Fraction(1, 3))] == [
        "-",
        "2",
        "0.5",
        "-0.25",
        "1/3",
    ]


def test_lists_say_how_much_they_leave_out() -> None:
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed(["a"], 2) == "a"
    assert (plural(1, "unit"), plural(1200, "unit")) == ("1 unit", "1,200 units")
    assert shape((3, 32, 32)) == "3x32x32"


def test_an_unknown_word_names_the_nearest_or_all() -> None:
    assert nearest("jmp", ["jump", "start"]) == "did you mean 'jump'?"
    assert nearest("zzz", ["jump", "start"]) == "known are jump, start"
