"""TOML files that narrow a space."""

from pathlib import Path

import pytest

from search.errors import SearchError
from search.propose.space_file import narrow, read
from search.propose.space_full import FULL_CHOICES


def _narrowed(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "space.toml"
    path.write_text(text)
    _, entries = read(path)
    return dict(narrow(path, entries, FULL_CHOICES))


def test_values_limits_and_single_values_narrow(tmp_path: Path) -> None:
    text = 'c1_kind = ["split", "conv"]\nstem_width = {min = 10, max = 20}\n'
    text += 'norm = "batch"\nc2_growth = {max = 1.25}'
    assert _narrowed(tmp_path, text) == {
        "c1_kind": ("conv", "split"),
        "stem_width": (12, 16, 20),
        "norm": ("batch",),
        "c2_growth": (0.75, 1.0, 1.25),
    }


def test_the_file_may_say_which_space_it_is_for(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('space = "full"\nnorm = "batch"\n')
    assert read(path) == ("full", {"norm": "batch"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stem_widht = 8",
            r"space\.toml: stem_widht: unknown; did you mean stem_width\? known are stem_width",
        ),
        ("norm = 'bach'", "norm: 'bach' is not among its values, batch, layer"),
        ("stem_width = [9]", "stem_width: 9 is not among its values, 8, 12"),
        ("c1_depth = true", "c1_depth: True is not among its values, 1, 2, 3, 4"),
        ("norm = []", "norm: no value is left; choose among batch, layer"),
        ("norm = {min = 1}", "norm: has no order, so list its values: batch, layer"),
        ("kernel = {from = 3}", "kernel: expected min and max, but got 'from'"),
        ("kernel = {min = '3'}", "kernel: min must be a number, but got '3'"),
        ("kernel = {min = 8}", "kernel: nothing from 8 to 7; its values are 3, 5, 7"),
        ("kernel = ", r"is not TOML \("),
        pytest.param("kernel = " + "[" * 10_000, r"is not TOML \(maximum recursion", id="brackets"),
        pytest.param("kernel = " + "9" * 5_000, r"is not TOML \(Exceeds the limit", id="digits"),
        pytest.param(
            "kernel = 0x" + "f" * 5_000, "kernel: a int that cannot be shown", id="hexadecimal digits"
        ),
        pytest.param(
            "kernel = {min = 0x" + "f" * 5_000 + "}", "nothing from a int that cannot", id="hexadecimal bound"
        ),
        ("space = 'depths'", "space must be one of widths, full, but got 'depths'"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SearchError, match=message) as caught:
        _narrowed(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"none\.toml: cannot be read \(No such file or directory\)"):
        read(tmp_path / "none.toml")
