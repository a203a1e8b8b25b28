"""Command lines made from dataclasses."""

from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest

from records.flags import (
    Command,
    Parsed,
    Program,
    argument,
    flag,
    plain_name,
    positive,
    seed,
    switch,
    word_of,
)


@dataclass(frozen=True)
class Main:
    data: str | None = flag("images", metavar="D", group="data")
    epochs: int = flag("100 % of the passes", default=3, read=positive, metavar="N", group="how")
    full: bool = switch("use all")
    fill: bool = switch("leave widths", word="--no-fill")
    repeat: Path | None = flag("a run", word="--from", exclusive="network")
    preset: str | None = flag("a network", exclusive="network")
    device: str = flag("where", default="auto", choices=("auto", "cpu"))
    images: tuple[Path, ...] = flag("pictures", default=())
    limits: tuple[str, ...] = flag("limits", default=(), word="--limit", repeated=True)
    seed: int = flag("seed", default=0, read=seed)


@dataclass(frozen=True)
class Show:
    name: str | None = argument("which", default=None, read=plain_name)
    debug: bool = switch("traceback")


@dataclass(frozen=True)
class Compare:
    sides: tuple[str, ...] = argument("what")
    layers: bool = switch("layers alone")


def _check(parsed: Parsed) -> str | None:
    return "--full means nothing with --from" if {"full", "repeat"} <= parsed.given else None


PROGRAM = Program(
    "tool",
    {
        "": Command(Main, "Do it.", check=_check),
        "show": Command(Show, "Show it."),
        "compare": Command(Compare, "Compare two."),
    },
    prog="python -m tool",
)


def test_fields_are_filled_by_their_types() -> None:
    words = ["--data", "x", "--epochs", "7", "--no-fill", "--from", "a/b", "--images", "1", "2"]
    parsed = PROGRAM.parse([*words, "--limit", "a=1", "--limit", "b=2"])
    assert parsed.options == Main(
        "x", 7, False, False, Path("a/b"), images=(Path("1"), Path("2")), limits=("a=1", "b=2")
    )
    assert parsed.given == {"data", "epochs", "fill", "repeat", "images", "limits"}
    assert parsed.words == (*words, "--limit", "a=1", "--limit", "b=2")
    with pytest.raises(FrozenInstanceError):
        parsed.options.full = False


def test_what_is_not_given_has_the_default_of_its_field() -> None:
    parsed = PROGRAM.parse([])
    assert (parsed.command, parsed.options, parsed.given) == ("", Main(), frozenset())
    assert PROGRAM.parse(["--epochs", "3"]).given == {"epochs"}  # given, though it is the default


def test_sub_commands_have_flags_of_their_own() -> None:
    assert PROGRAM.parse(["show", "a", "--debug"]).options == Show("a", True)
    assert PROGRAM.parse(["show"]).options == Show(None, False)
    assert PROGRAM.parse(["compare", "a", "b"]).options == Compare(("a", "b"))
    assert PROGRAM.parse(["compare", "--", "--odd", "b"]).options == Compare(("--odd", "b"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--epoch", "3"], "unrecognized arguments: --epoch; did you mean --epochs?"),
        (["--form=x"], "unrecognized arguments: --form; did you mean --from?"),
        (["--zzzz"], "unrecognized arguments: --zzzz"),
        (["shwo"], "unrecognized arguments: shwo; did you mean show?"),
        (["compare", "--layer"], "unrecognized arguments: --layer; did you mean --layers?"),
        (["--epochs", "0"], "argument --epochs: must be at least 1, got 0"),
        (["--epochs", "9" * 5000], f"argument --epochs: expected a whole number, got '{'9' * 37}...'"),
        (["--seed", str(2**63)], f"argument --seed: must be at most {2**63 - 1}, got {2**63}"),
        (["--epochs"], "argument --epochs: expected one argument"),
        (["--from", "a", "--preset", "b"], "argument --preset: not allowed with argument --from"),
        (["--from", "a", "--full"], "--full means nothing with --from"),
        (["show", "../a"], "argument name: a plain folder name is needed, got '../a'"),
        (["show", "a\nb"], "argument name: a plain folder name is needed, got 'a\\nb'"),
        (["compare"], "the following arguments are required: sides"),
        (["a\nb"], "unrecognized arguments: a b"),
        (["postgresql://anna:secret@host/db"], "unrecognized arguments: postgresql://anna:***@host/db"),
        (
            ["--device", "postgresql://anna:se@cr/et@host/db"],
            "argument --device: invalid choice: 'postgresql://anna:***@host/db' (choose from ",
        ),
        (["--storge=postgresql://anna:secret@host/db"], "unrecognized arguments: --storge"),
    ],
    ids=lambda value: value[0][:24] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    with pytest.raises(SystemExit) as leave:
        PROGRAM.parse(words)
    assert leave.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tool: error: {line}")
    assert error.endswith("; see python -m tool --help\n")
    assert error.count("\n") == 1


def test_flags_may_not_be_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        PROGRAM.parse(["--dat", "x"])
    assert "unrecognized arguments: --dat; did you mean --data?" in capsys.readouterr().err


def test_help_shows_defaults_groups_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        PROGRAM.parse(["--help"])
    assert leave.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: python -m tool [flags] Do it.")
    assert "data: --data D images" in text
    assert "100 % of the passes (default 3)" in text
    assert "--no-fill leave widths" in text
    assert "python -m tool compare Compare two." in text


def test_the_word_of_a_field_is_its_flag() -> None:
    assert (word_of(Main, "repeat"), word_of(Main, "epochs")) == ("--from", "--epochs")


@pytest.mark.parametrize(("name", "usage"), [("show", "[NAME] [flags]"), ("compare", "SIDES ... [flags]")])
def test_the_usage_is_short(capsys: pytest.CaptureFixture[str], name: str, usage: str) -> None:
    with pytest.raises(SystemExit):
        PROGRAM.parse([name, "--help"])
    assert capsys.readouterr().out.splitlines()[0] == f"usage: python -m tool {name} {usage}"
