"""The command lines of the search, as data."""

import pytest

from search.options import Options, parse, parse_search
from search.settings import CPU_MACS


def test_the_help_names_the_limit_that_the_code_has(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        parse(["--help"])
    assert leaving.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.count(f"{CPU_MACS // 10**6}M") == 2
    assert "13M" not in text
    assert "search show" in text
    assert "search replay" in text


def test_nothing_given_leaves_everything_to_device_and_data() -> None:
    assert parse_search([]) == Options()
    assert Options().fill is True
    assert parse_search(["--no-fill"]).fill is False


def test_the_sub_commands_have_options_of_their_own() -> None:
    shown = parse(["show"])
    assert (shown.command, shown.options.name) == ("show", None)
    replayed = parse(["replay", "one", "5", "--finalist"]).options
    assert (replayed.name, replayed.trial, replayed.finalist) == ("one", 5, True)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("5s", 5.0), ("2m", 120.0)])
def test_how_long_to_wait_for_a_database(text: str, seconds: float) -> None:
    assert parse_search(["--storage-wait", text]).storage_wait == seconds


@pytest.mark.parametrize(
    "words",
    [
        ["--data", "postgresql://ann:s3cret@host/db", "--trials", "postgresql://ann:s3cret@host/db"],
        ["--name", "postgresql://ann:s3cret@host/db"],
        ["--time-limit", "postgresql://ann:s3cret@host/db"],
        ["--max-macs", "postgresql://ann:s3cret@host/db"],
        ["--device", "postgresql://ann:s3cret@host/db"],
        ["--seed", "postgresql://ann:s3cret@host/db"],
        ["postgresql://ann:s3cret@host/db"],
        ["--storag", "postgresql://ann:s3cret@host/db"],
        ["--storage=postgresql://ann:s3cret@host/db", "--trials", "postgresql://ann:s3cret@host/db\nx"],
    ],
)
def test_a_password_that_was_given_to_the_wrong_flag_is_not_repeated(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        parse(words)
    assert leaving.value.code == 2
    error = capsys.readouterr().err
    assert "s3cret" not in error
    assert error.count("\n") == 1
    assert error.startswith("search: error: ")
