import io

import pytest
from rich.console import Console

from training.data.progress import advancing, say


def drawn(*, terminal: bool, width: int = 80, in_bytes: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width)
    with advancing(console, "decoding [bold]5 images[/]", 5_000_000, in_bytes=in_bytes) as advance:
        advance(2_000_000)
        advance(3_000_000)
    return file.getvalue()


def test_elsewhere_than_on_a_terminal_there_is_one_plain_line() -> None:
    assert drawn(terminal=False) == "decoding [bold]5 images[/]\n"


@pytest.mark.parametrize(("in_bytes", "amount"), [(False, "5000000/5000000"), (True, "5.0/5.0 MB")])
def test_a_terminal_shows_how_much_is_done(in_bytes: bool, amount: str) -> None:
    text = drawn(terminal=True, in_bytes=in_bytes)

    assert "decoding [bold]5 images[/]" in text
    assert amount in text


def test_a_line_is_printed_as_it_is_however_narrow_the_screen() -> None:
    file = io.StringIO()
    say(Console(file=file, width=10), "a path [/with] brackets :smile: " + "x" * 40)

    assert file.getvalue() == "a path [/with] brackets :smile: " + "x" * 40 + "\n"
