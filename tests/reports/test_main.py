import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "examples" / "c1c2c3c4.py")


def test_a_search_gives_a_page_and_a_summary(
    make_search: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_search(trials=8)
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "every number here was measured on shapes instead" in out
    assert (
        "test accuracy 87.15 % (n = 1 run, 12 epochs; 2,000 images, standard error 0.75 points)"
        in " ".join(out.split())
    )
    assert (folder / "report.html").is_file()


def test_a_training_run_gives_a_page_and_a_summary(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(name="my [bold]run[/bold]")
    assert main([str(folder), "--output", str(folder / "other.html")]) == 0
    out = capsys.readouterr().out
    assert "my [bold]run[/bold]" in out
    assert f"next  python -m reports rf {folder}  # " in out
    assert (folder / "other.html").is_file()
    assert not (folder / "report.html").exists()


def test_a_search_that_goes_on_is_reported_with_what_there_is(
    make_search: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_search(trials=8, best=False, state="running", stage="trials", verdict=(), finalists=())
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "still going, or it broke off" in out.replace("\n", " ")
    assert "Best 5 trials" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["compare", "nowhere.py"], "nowhere.py"),
        (["compare", EXAMPLE, "--input", "3x0x32"], "--input 3x0x32"),
        (["rf", "nowhere.py"], "nowhere.py"),
        (["rf", EXAMPLE, "--image", "nowhere.jpg"], "--image nowhere.jpg: cannot be read"),
        (["rf", EXAMPLE, "--output", str(ROOT)], "is a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("reports: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", EXAMPLE, "--layers"], "--layers compares two sides, got 1"),
        (["compare", EXAMPLE, "--layer"], "unrecognized arguments: --layer; did you mean --layers?"),
        (["comapre", EXAMPLE], f"unrecognized arguments: {EXAMPLE}; did you mean compare?"),
        (["rf", EXAMPLE, "--erf-images", "-1"], "argument --erf-images: must be at least 0, got -1"),
        (["rf"], "the following arguments are required: target"),
        ([], "the following arguments are required: folder"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leave:
        main(arguments)
    assert leave.value.code == 2
    assert capsys.readouterr().err == f"reports: error: {message}; see python -m reports --help\n"


def test_stdout_that_knows_ascii_alone_is_no_traceback(make_search: Callable[..., Path]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for words in ([str(make_search(trials=3))], ["compare", EXAMPLE, EXAMPLE]):
        done = subprocess.run(
            [sys.executable, "-m", "reports", *words],
            cwd=ROOT,
            capture_output=True,
            env=environment,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.isascii()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_device_is_one_line_and_stays_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", EXAMPLE, "--output", "/dev/full"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("reports: error: /dev/full cannot be written (No space left on device)")
    assert error.count("\n") == 1
    assert Path("/dev/full").is_char_device()


def test_a_broken_record_leaves_nothing_half_written(
    make_search: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_search(trials=3)
    (folder / "search.json").write_text('{"schema": 9}')
    before = sorted(folder.rglob("*"))
    assert main([str(folder)]) == 2
    assert "search.json: field 'schema' is 9" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_a_comparison_can_be_written_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "compare.md"
    assert main(["compare", EXAMPLE, EXAMPLE, "--format", "md", "--output", str(path)]) == 0
    text = path.read_text()
    assert "| receptive field | 63 | 63 |" in text
    assert "| = | c1.0.0: conv 24x32x32 | 3 |" in text
    assert capsys.readouterr().out == ""


def test_csv_holds_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", EXAMPLE, EXAMPLE, "--format", "csv", "--layers"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == ",A: layer,RF,params,MACs,B: layer,RF,params,MACs"


def test_help_does_not_import_torch() -> None:
    code = """
import sys
import threading
from reports.__main__ import main
try:
    main(["--help"])
except SystemExit:
    print("torch" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"


def test_the_explorer_is_written_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep" / "rf.html"
    assert main(["rf", EXAMPLE, "--output", str(path)]) == 0
    assert capsys.readouterr().out.startswith(str(path))
    assert "c4.2.3" in path.read_text()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_page_is_written_into_a_pipe_which_stays_one(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert main([str(make_run()), "--output", str(pipe)]) == 0
    reader.join(60)
    assert pipe.is_fifo()
    assert read[0].startswith(b"<!doctype html>")
    assert read[0].rstrip().endswith(b"</html>")
    assert capsys.readouterr().out.splitlines()[-2] == str(pipe)


@pytest.mark.parametrize("width", [80, 110, 140, 160])
def test_the_layers_of_two_networks_are_read_at_any_width(
    width: int,
    golden: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(ROOT)
    assert main(["compare", "examples/c1c2c3c4.py", "tiny", "--layers"]) == 0
    text = capsys.readouterr().out
    drawn = text.splitlines()[:-1]
    assert max(map(len, drawn)) <= width
    golden(f"reports_compare_{width}.txt", text)


def test_after_a_comparison_its_page_is_of_the_same_layers_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", EXAMPLE, EXAMPLE, "--input", "3x40x40", "--layers"]
    assert main(words) == 0
    end = capsys.readouterr().out.splitlines()[-1]
    assert f"compare {EXAMPLE} {EXAMPLE} --input 3x40x40 --layers --format html" in end
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--format", "html"]) == 0
    assert f"next  python -m reports rf {EXAMPLE} --input 3x40x40  # " in capsys.readouterr().out


def test_a_misspelt_run_is_met_with_the_nearest(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(name="first")
    named = folder.rename(folder.with_name("first-run"))
    assert main([str(named.with_name("frist-run"))]) == 2
    assert f"does not exist; did you mean {named}?" in capsys.readouterr().err
