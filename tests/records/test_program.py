"""How commands end."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from records.errors import UserError
from records.program import run

ROOT = Path(__file__).resolve().parents[2]


class OwnError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("a\nb"), 2, "tool: error: a b\n"),
        (OwnError("own"), 2, "tool: error: own\n"),
        (OSError(28, "No space left on device"), 2, "tool: error: No space left on device\n"),
        (OSError(13, "Permission denied", "a.png"), 2, "tool: error: a.png: Permission denied\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_a_code_and_a_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    def action() -> None:
        raise error

    assert run("tool", action, known=(OwnError,)) == code
    assert capsys.readouterr().err == line


def test_debug_shows_where_it_happened_and_a_fault_of_ours_is_no_line() -> None:
    def action() -> None:
        raise OwnError

    with pytest.raises(OwnError):
        run("tool", action, known=(OwnError,), debug=True)
    with pytest.raises(OwnError):
        run("tool", action)


def test_the_code_is_that_of_the_action() -> None:
    assert run("tool", lambda: None) == 0
    assert run("tool", lambda: 1) == 1


def test_stdout_that_knows_ascii_alone_gets_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    assert run("tool", lambda: print("größer █")) == 0
    assert raw.getvalue() == b"gr??er ?\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("count", [1, 100_000], ids=["buffered", "written"])
def test_a_full_stdout_is_one_line(count: int) -> None:
    code = f"import sys\nfrom records.program import run\nsys.exit(run('tool', lambda: print('x' * {count})))"
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=buffered,
        )
    assert (done.returncode, done.stderr) == (
        2,
        "tool: error: No space left on device\n",
    )


HELP = "from search.options import parse\nparse(['--help'])"
SHOWN = (
    "import sys\nfrom records.program import run\nfrom records.terminal import make_console\n"
    "sys.exit(run('tool', lambda: make_console().print('x' * 200_000)))"
)


def _with_stdout(code: str, stdout: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_help_that_cannot_be_written_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        assert _with_stdout(HELP, full.fileno()) == (
            2,
            "search: error: standard output cannot be written (No space left on device)\n",
        )


def test_a_reader_that_has_gone_is_one_line_and_never_the_code_of_a_result() -> None:
    """Code 1 is that of a replay that differs; rich leaves with it where a pipe is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert _with_stdout(SHOWN, writer) == (
            2,
            "tool: error: the reader of the output has gone, as head does; send the output to a file to have "
            "all of it\n",
        )
    finally:
        os.close(writer)
