"""`python -m search` as a user runs it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "--epochs",
    "2",
    "--subset",
    "130",
    "--finalists",
    "2",
    "--final-epochs",
    "1",
    "--final-subset",
    "130",
    "--winner-epochs",
    "1",
    "--device",
    "cpu",
]


def _command(folder: Path, images: Path, *flags: str) -> list[str]:
    where = ["--data", str(images), "--cache", str(folder / "cache"), "--out", str(folder / "out")]
    return [sys.executable, "-m", "search", *where, *flags]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--trials", "0"], "search: error: argument --trials: must be at least 1, got 0"),
        (["--trials", "many"], "search: error: argument --trials: expected a whole number, got 'many'"),
        (["--name", "a/b"], "search: error: argument --name: a plain folder name is needed, got 'a/b'"),
        (["--data", "cifar11"], "search: error: --data cifar11: no such folder or archive"),
        (
            ["--base", "tinny"],
            "search: error: --base tinny: no file, run folder, network or module has this name; did you",
        ),
        (["--base", "none.json"], "search: error: --base none.json: no such file"),
        (["--recipe", "fats"], "search: error: --recipe fats: unknown; did you mean fast? choose one of"),
        (
            ["--subset", "20"],
            "search: error: --subset 20: fewer images than one batch of recipe 'fast', 64",
        ),
        (["--sampler", "tpi"], "search: error: --sampler tpi: unknown; did you mean tpe? choose one of"),
        (
            ["--executor", "lokal"],
            "search: error: --executor lokal: unknown; did you mean local? choose one of local",
        ),
        (
            ["--cpus-per-job", "2"],
            "search: error: --cpus-per-job 2: only with --executor ray",
        ),
        (
            ["--ray-address", "head"],
            "search: error: argument --ray-address: expected HOST:PORT or auto, got 'head'",
        ),
        (
            ["--space-file", "none.toml"],
            "search: error: --space-file none.toml: cannot be read (No such file or directory)",
        ),
        (
            ["--max-macs", "100k"],
            "search: error: no preset fits the budget, nor does any near network: residual misses max_macs",
        ),
        (
            ["--start", "resdual"],
            "search: error: --start resdual: no file, run folder, network or module has this name; did",
        ),
        (
            ["--presets", "none"],
            "search: error: --presets none: --sampler climb starts from networks; name one",
        ),
        (["--limit", "max-params=lots"], "search: error: --limit max-params=lots: expected a number such as"),
        (["--time-limit", "1s"], "search: error: --time-limit 1s: too short for the presets, "),
        (
            ["--max-macs", "100k", "--base", "tiny"],
            "search: error: --base tiny: no width makes it fit the budget; impossible are: max_macs, at most",
        ),
        (["--device", "cuda"], "search: error: device 'cuda' is not available here"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    flags: list[str], message: str, image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    common = ["--data", str(image_folder), "--cache", str(tmp_path / "cache"), "--out", str(out)]
    try:
        code = main([*common, *flags])
    except SystemExit as leaving:  # argparse leaves by itself
        code = int(leaving.code or 0)
    assert code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert captured.out.replace("\n", "") in ("", f"decoding 200 images of {image_folder}")
    assert not out.exists()


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (None, "search: error: --executor ray: Ray is not installed here; pip install -e '.[ray]'"),
        (object(), "search: error: --ray-address 127.0.0.1:1: nothing answers there (Connection refused); "),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line_before_images_are_read(
    there: object,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("search.execute.ray.before.find_spec", lambda name: there)
    where = ["--data", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*where, "--executor", "ray", "--ray-address", "127.0.0.1:1"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert (captured.err.count("\n"), captured.out) == (1, "")
    assert not (tmp_path / "out").exists()


def test_a_name_that_exists_offers_resume(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "first").mkdir(parents=True)
    flags = ["--data", str(image_folder), "--out", str(tmp_path / "out"), "--name", "first"]
    assert main(flags) == 2
    assert "first exists; continue it with --resume, or choose another --name" in capsys.readouterr().err
    assert list((tmp_path / "out" / "first").iterdir()) == []


def test_an_out_folder_that_cannot_be_written_is_named(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    flags = ["--data", str(image_folder), "--cache", str(tmp_path / "cache"), "--device", "cpu"]
    assert main([*flags, "--out", str(tmp_path / "file" / "out")]) == 2
    error = capsys.readouterr().err
    assert "file/out: cannot be written (Not a directory); choose another folder" in error


@pytest.mark.slow
def test_a_search_killed_in_its_trials_goes_on_to_the_end(image_folder: Path, tmp_path: Path) -> None:
    """SIGKILL of the driver and its workers, then --resume: no finished trial is lost."""
    command = _command(tmp_path, image_folder, "--name", "run", "--seed", "5", *SMALL)
    folder = tmp_path / "out" / "run"
    process = subprocess.Popen(
        [*command, "--trials", "6"], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 180
    while len(finished := list(folder.glob("trials/[0-9]*.json"))) < 2:
        assert process.poll() is None, "the search ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.read_bytes() for path in finished}

    resumed = _run([*_command(tmp_path, image_folder, "--name", "run"), "--resume", "--trials", "7"])
    assert resumed.returncode == 0, resumed.stderr
    assert f"next  python train.py --predict IMAGE --weights {folder}  " in resumed.stdout
    for name, content in before.items():
        assert (folder / "trials" / name).read_bytes() == content
    record = json.loads((folder / "search.json").read_text())
    assert (record["state"], record["stage"], record["schema"]) == ("finished", "done", 2)
    assert record["trials"]["complete"] + record["trials"]["pruned"] == 7
    assert all(limit["holds"] for limit in record["verdict"])
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    specs = [json.loads(path.read_text())["spec"] for path in folder.glob("trials/[0-9]*.json")]
    assert len({json.dumps(spec, sort_keys=True) for spec in specs}) == len(rows)
    assert rows[0]["preset"] == "residual"
    assert all(bool(row["moves"]) != bool(row["preset"]) for row in rows)
    assert {row["generation"] for row in rows} == {"0", "1"}
    assert record["settings"]["sampler"] == "climb"
    assert record["best_known"] in record["outcome"]
    assert (folder / "best" / "model.py").read_text().startswith("# ")
    assert len(list(folder.glob("trials/[0-9]*.npy"))) == len(rows)
    assert sum(row["state"] != "failed" for row in rows) == 7

    best = folder / "best"
    written = {path.name for path in best.iterdir()}
    assert {"spec.json", "model.py", "best.safetensors", "run.json", "predictions.npz"} <= written
    assert {"curves.png", "confusion.png", "mistakes.png"} <= written
    run = json.loads((best / "run.json").read_text())
    assert run["dataset"]["train_images"] == 180  # train and validation together
    assert 0 <= run["test_accuracy"] <= 1
    page = (folder / "report.html").read_text()
    assert f"{100 * run['test_accuracy']:.1f}" in page

    verdict = _run([sys.executable, "-m", "rfcalc", str(best / "model.py"), "--format", "json"])
    assert verdict.returncode == 0, verdict.stderr
    assert json.loads(verdict.stdout)["params"] == run["params"]

    again = _run([*_command(tmp_path, image_folder, "--name", "run"), "--resume", "--epochs", "5"])
    assert again.returncode == 2
    assert "--epochs 5: the search 'run' was started with 2; leave the flag out" in again.stderr


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(image_folder: Path, tmp_path: Path) -> None:
    command = _command(tmp_path, image_folder, "--name", "run", "--trials", "500", *SMALL)
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    folder = tmp_path / "out" / "run"
    deadline = time.monotonic() + 180
    while not list(folder.glob("trials/[0-9]*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    assert f"Continue with: python -m search --resume --name run --out {tmp_path / 'out'}" in out
    record = json.loads((folder / "search.json").read_text())
    assert (record["state"], record["reason"]) == ("stopped", "stopped by the user")


def test_resume_without_anything_to_resume_starts_afresh_with_a_notice(
    image_folder: Path, tmp_path: Path
) -> None:
    flags = ["--resume", "--name", "run", "--trials", "1", *SMALL]
    done = _run(_command(tmp_path, image_folder, *flags))
    assert done.returncode == 0, done.stderr
    assert "nothing to resume in" in done.stdout
    assert (tmp_path / "out" / "run" / "report.html").is_file()


@pytest.mark.slow
def test_widths_are_searched_by_tpe_beside_the_presets(image_folder: Path, tmp_path: Path) -> None:
    flags = ["--name", "run", "--sampler", "tpe", "--trials", "3", "--presets", "tiny", *SMALL]
    done = _run(_command(tmp_path, image_folder, *flags))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "run"
    record = json.loads((folder / "search.json").read_text())
    assert record["settings"]["objectives"] == ["loss"]
    assert record["screening"]["drawn"] == 2000
    assert [each["name"] for each in record["presets"]] == ["tiny"]
    assert record["best_known"] == "tiny"
    assert {each["preset"] for each in record["finalists"]} == {"tiny", None}
    assert record["outcome"] in done.stdout.replace("\n", " ") or "tiny" in record["outcome"]


@pytest.mark.slow
def test_without_epochs_of_its_own_the_winner_is_left_to_train_py(image_folder: Path, tmp_path: Path) -> None:
    flags = ["--name", "run", "--trials", "1", *SMALL, "--winner-epochs", "0"]
    done = _run(_command(tmp_path, image_folder, *flags))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "run"
    assert not (folder / "best").exists()
    assert (folder / "model.py").read_text().startswith("# No better network found")
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_a_raised_search_replaces_its_winner_where_python_writes_bytecode(
    image_folder: Path, tmp_path: Path
) -> None:
    """The search imports best/model.py, so Python makes best/__pycache__ in any normal shell."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    flags = [
        "--name",
        "run",
        "--space",
        "widths",
        "--presets",
        "none",
        *SMALL,
        "--epochs",
        "1",
        "--finalists",
        "1",
    ]
    folder = tmp_path / "out" / "run"

    def search(*more: str) -> None:
        command = _command(tmp_path, image_folder, *flags, *more)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    search("--trials", "1")
    assert (folder / "best" / "__pycache__").is_dir(), "this Python writes no bytecode, so nothing is tested"
    first = json.loads((folder / "best" / "spec.json").read_text())
    trial = folder / "trials" / "0-1.json"
    value = json.loads(trial.read_text())
    value["epochs"][-1]["val_loss"] = 99.0  # so that another one wins
    trial.write_text(json.dumps(value))
    search("--resume", "--trials", "3")
    assert json.loads((folder / "best" / "spec.json").read_text()) != first
    assert json.loads((folder / "search.json").read_text())["winner"] != 0
    assert sorted(path.name for path in folder.glob("best*")) == ["best"]
