import json

import pytest

from records.text import duration, nearest, percent, plural, reason, shape, unknown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (8.44, "8.4 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (725, "12 min 5 s"),
        (3599.6, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (3_600_000, "1,000 h 0 min"),
    ],
)
def test_a_duration_has_the_units_of_its_size(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_shares_shapes_and_counts() -> None:
    assert (percent(0.8412), percent(0.8412, 2), percent(None), percent(1.0)) == (
        "84.1 %",
        "84.12 %",
        "-",
        "100.0 %",
    )
    assert shape((3, 32, 32)) == "3x32x32"
    assert (plural(1, "epoch"), plural(0, "epoch"), plural(1200, "epoch")) == (
        "1 epoch",
        "0 epochs",
        "1,200 epochs",
    )


def test_a_misspelt_word_is_met_with_the_nearest_known_one() -> None:
    assert nearest("resdual", ("tiny", "residual")) == "residual"
    assert nearest("xyz", ("tiny", "residual")) is None
    assert nearest("--deter", ("--device", "--deterministic")) == "--deterministic"
    assert nearest("", ("tiny", "residual")) is None
    assert unknown("tinny", ("tiny", "wide")) == "unknown; did you mean tiny? choose one of tiny, wide"
    assert unknown("xyz", ("tiny", "wide")) == "unknown; choose one of tiny, wide"


def test_the_advice_of_libraries_to_programmers_is_not_passed_on() -> None:
    digits = "9" * 5000
    for text, part in ((f"[{digits}]", "has 5000 digits"), ("[", "Expecting value")):
        with pytest.raises(ValueError, match=part) as caught:
            json.loads(text)
        assert part in reason(caught.value)
        assert "sys." not in reason(caught.value)
    assert reason(EOFError()) == "EOFError"
    assert reason(ValueError("a\n b")) == "a b"
