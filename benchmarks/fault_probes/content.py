"""Probes of loss of data, environment, and what a sound container may hold: points 1 to 12."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import stat
import sys
import tarfile
import threading
import tomllib
from pathlib import Path
from typing import Any

from .common import Observation, SkippedError, either, is_one_line, last_line, main, network, probe, run

PLAIN = "model = nn.Conv2d(3, 4, 3)\n"


class _Spec:
    """What both versions ask of a winner's network."""

    def to_json(self) -> dict[str, str]:
        return {"name": "new"}


@probe("1 another winner")
def another_winner(folder: Path) -> Observation:
    best = folder / "best"
    (best / "__pycache__").mkdir(parents=True)
    for name in ("spec.json", "run.json", "best.safetensors", "__pycache__/model.cpython-311.pyc"):
        (best / name).write_text('{"name": "old"}')
    try:
        winner = either("search.keep.best:Best")(folder)
    except SkippedError:
        clear = either("search.export:clear_for")
        error = ""
        try:
            clear(best, _Spec())
        except OSError as caught:
            error = type(caught).__name__
        left = sorted(path.name for path in best.iterdir())
        return Observation((best / "spec.json").is_file(), f"{error}; left in best/: {', '.join(left)}")
    winner.begin({"name": "new"})
    whole = all((best / name).is_file() for name in ("spec.json", "run.json", "best.safetensors"))
    return Observation(whole, "the former winner is whole while the next is built")


@probe("2 pipe")
def pipe(folder: Path) -> Observation:
    path = folder / "pipe"
    os.mkfifo(path)
    reader = threading.Thread(target=path.read_bytes, daemon=True)
    reader.start()
    either("records.files:write_text")(path, "x")
    is_pipe = stat.S_ISFIFO(path.stat().st_mode)
    return Observation(is_pipe, "stays a pipe" if is_pipe else "a regular file took its place")


@probe("2 lock through a link")
def lock_through_a_link(folder: Path) -> Observation:
    victim, lock = folder / "victim", folder / ".lock"
    victim.write_text("precious")
    lock.symlink_to(victim)
    locked = either("records.lock:locked", "search.storage:locked_file")
    refused = ""
    try:
        with locked(lock, RuntimeError("taken")):
            pass
    except Exception as error:
        refused = f" ({type(error).__name__})"
    text = victim.read_text()
    return Observation(text == "precious", f"the file behind the link holds {text!r}{refused}")


@probe("2 leftovers")
def leftovers(folder: Path) -> Observation:
    (folder / ".last-1-0123abcd.pt").touch()
    try:
        either("records.files:sweep")(folder)
    except SkippedError:
        return Observation(False, "nothing sweeps")
    return Observation(not list(folder.iterdir()), f"left: {[path.name for path in folder.iterdir()]}")


@probe("3 database away")
def database_away(folder: Path) -> Observation:
    import importlib

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage: Any = importlib.import_module("search.keep.storage")
        patient = either("search.keep.retry:DatabaseRetry")("sqlite:///x", 30.0, lambda text: None)
    except ImportError:
        storage, patient = importlib.import_module("search.storage"), None
    storage.LOCKED_PATIENCE = 0.2
    url = f"sqlite:///{folder / 'study.db'}"
    study = optuna.create_study(study_name="one", storage=storage.reach(url))
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(folder / "study.db")
        connection.execute("BEGIN EXCLUSIVE")
        held.set()
        over.wait(2.0)
        connection.close()

    threading.Thread(target=hold).start()
    held.wait()
    try:
        with storage.failures(url, "the study failed"):
            trial = study.ask() if patient is None else patient(study.ask)
    except Exception as error:
        over.set()
        return Observation(False, f"{type(error).__name__}: {error}")
    return Observation(True, f"waited 2 s, then trial {trial.number}")


@probe("4 tar")
def tar(folder: Path) -> Observation:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        info = tarfile.TarInfo("train/cat/1.png")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"one"))
    (folder / "sound.tar").write_bytes(content.getvalue())

    def from_tarfile(cls: Any, archive: Any, /, **_: Any) -> Any:
        # As in Python 3.12.3 of Ubuntu 24.04: headers are read past `frombuf`.
        header = archive.fileobj.read(512)
        info = tarfile.TarInfo.frombuf(header, archive.encoding, archive.errors)
        info.offset = archive.fileobj.tell() - 512
        return info._proc_member(archive)  # type: ignore[attr-defined]

    tarfile.TarInfo._fromtarfile = classmethod(from_tarfile)  # type: ignore[attr-defined]
    tarfile.TarInfo.fromtarfile = classmethod(from_tarfile)  # type: ignore[assignment]
    members = either("training.data.archives:members", "training.archives:members")
    names = ["/".join(member.path) for member in members(folder / "sound.tar")]
    return Observation(names == ["train/cat/1.png"], f"members: {names}")


@probe("5 floors of dependencies")
def floors(folder: Path) -> Observation:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *(d for e in project["optional-dependencies"].values() for d in e)]
    found = sorted({d for d in listed if d.lower().startswith(("pillow", "rich", "opencv", "matplotlib"))})
    return Observation(not {"pillow>=10", "rich>=13", "matplotlib>=3.8"} & set(found), ", ".join(found))


@probe("6 newer Pythons in CI")
def newer_pythons(folder: Path) -> Observation:
    texts = [path.read_text(encoding="utf-8") for path in Path(".github").rglob("*.y*ml")]
    named = sorted({version for version in ("3.11", "3.12", "3.13") if any(version in t for t in texts)})
    return Observation(len(named) == 3, f"the CI workflow names {', '.join(named) or 'none: there is none'}")


@probe("7 ASCII stdout")
def ascii_stdout(folder: Path) -> Observation:
    path = network(folder, PLAIN)
    words: list[str | Path] = ["-m", "reports", "compare", path, network(folder, PLAIN, "größer.py")]
    done = run(words, folder, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C", PYTHONCOERCECLOCALE="0")
    return Observation(done.returncode == 0, last_line(done))


@probe("7 full stdout")
def full_stdout(folder: Path) -> Observation:
    with Path("/dev/full").open("w") as full:
        done = run(["-m", "rfcalc", network(folder, PLAIN), "--no-budget"], folder, stdout=full)
    return Observation(is_one_line(done), last_line(done))


def _trained(folder: Path) -> list[str | Path]:
    """Train one epoch on a handful of pictures into folder/one, and return the command."""
    from PIL import Image

    for split, count in (("train", 50), ("test", 2)):
        for number, name in enumerate(("dark", "light")):
            place = folder / "data" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                shade = 100 * number + i
                Image.new("RGB", (16, 16), (shade, shade, i)).save(place / f"{i}.png")
    places: list[str | Path] = ["--data", folder / "data", "--cache", folder / "cache", "--out", folder]
    words = [Path("train.py").resolve(), *places, "--name", "one", "--preset", "tiny", "--epochs", "1"]
    done = run(words, folder)
    if done.returncode:
        raise SkippedError(f"the run to damage was not trained: {last_line(done)}")
    return words


@probe("8 checkpoint without a field")
def checkpoint_without_a_field(folder: Path) -> Observation:
    import torch

    words = _trained(folder)
    path = folder / "one" / "last.pt"
    if not path.is_file():
        raise SkippedError("a run that has ended keeps no checkpoint")
    state = torch.load(path, weights_only=True)
    # The weights, whatever they are called.
    fields = (k for k, v in state.items() if isinstance(v, dict) and torch.Tensor in map(type, v.values()))
    del state[next(fields)]
    for each in path.parent.glob("last*.pt"):
        torch.save(state, each)
    (path.parent / "run.json").unlink(missing_ok=True)
    done = run([*words, "--resume"], folder)
    return Observation(is_one_line(done), last_line(done))


@probe("8 weights that are NaN")
def weights_that_are_nan(folder: Path) -> Observation:

    from safetensors import safe_open
    from safetensors.torch import load_file, save

    words = _trained(folder)
    (path,) = (folder / "one").glob("best.safetensors")

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    for tensor in tensors.values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
    path.write_bytes(save(tensors, metadata=metadata))
    done = run([words[0], "--evaluate", path.parent, "--cache", folder / "cache"], folder)
    return Observation(is_one_line(done), last_line(done))


@probe("8 brackets in TOML")
def brackets_in_toml(folder: Path) -> Observation:
    (folder / "budget.toml").write_text("a = " + "[" * 20_000)
    done = run(["-m", "rfcalc", network(folder, PLAIN), "--budget", "budget.toml"], folder)
    return Observation(is_one_line(done), last_line(done))


@probe("8 long number in TOML")
def long_number_in_toml(folder: Path) -> Observation:
    (folder / "budget.toml").write_text(f"max_params = {'9' * 5_000}")
    done = run(["-m", "rfcalc", network(folder, PLAIN), "--budget", "budget.toml"], folder)
    return Observation(is_one_line(done), last_line(done))


@probe("9 stride of two millions")
def stride(folder: Path) -> Observation:
    import torch

    from models.net import build
    from models.presets import PRESETS
    from models.spec import NetSpec

    data = next(iter(PRESETS.values())).to_json()
    stage: Any = data["c2"]
    layers = stage["layers"] if isinstance(stage, dict) else stage
    layers[0]["stride"] = 2_000_000
    try:
        spec = NetSpec.from_json(json.loads(json.dumps(data)))
    except ValueError as error:
        return Observation(True, f"refused: {str(error)[:120]}")
    with torch.no_grad():
        build(spec).eval()(torch.zeros(1, *spec.input_size))
    return Observation(False, "accepted, and it ran")


@probe("10 PostScript named png")
def postscript(folder: Path) -> Observation:
    started = folder / "started"
    ghostscript = folder / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    ghostscript.chmod(0o755)
    picture = folder / "photo.png"
    lines = ("%!PS-Adobe-3.0 EPSF-3.0", "%%BoundingBox: 0 0 32 32", "%%EndComments", "showpage", "%%EOF", "")
    picture.write_text("\n".join(lines))
    path = os.environ["PATH"]
    words: list[str | Path] = [
        "-m",
        "reports",
        "rf",
        network(folder, PLAIN),
        "--image",
        picture,
        "--erf-images",
        "0",
    ]
    done = run(words, folder, PATH=f"{folder}:{path}")
    text = "Ghostscript was started" if started.exists() else f"not opened; {last_line(done)}"
    return Observation(not started.exists() and done.returncode == 2, text)


@probe("11 password")
def password(folder: Path) -> Observation:
    words: list[str | Path] = [
        Path("train.py").resolve(),
        "--data",
        "postgresql://u:geheim@h/db",
        "--epochs",
        "1",
    ]
    done = run(words, folder)
    return Observation("geheim" not in done.stderr, last_line(done))


@probe("11 line break in a value")
def line_break(folder: Path) -> Observation:
    done = run([Path("train.py").resolve(), "--data", "no\nfolder", "--epochs", "1"], folder)
    return Observation(is_one_line(done), f"{done.stderr.count(chr(10))} lines; {last_line(done)}")


HOSTILE = {
    "__getattr__": "class R:\n    def __getattr__(self, name): raise RuntimeError('no')\n"
    "class Net(nn.Module):\n    def forward(self, x): return R()\n",
    "__str__": "class Bad(Exception):\n    def __str__(self): raise RuntimeError('no')\n"
    "class Net(nn.Module):\n    def forward(self, x): raise Bad\n",
    "async": "class Net(nn.Module):\n    async def forward(self, x): return x\n",
    "recursion": "sys.setrecursionlimit(80)\ndef f(n): return f(n - 1) if n else 0\nf(200)\n",
}


@probe("12 whose fault it is")
def whose_fault(folder: Path) -> Observation:
    ended = {}
    for name, body in HOSTILE.items():
        done = run(["-m", "rfcalc", network(folder, body), "--no-budget"], folder)
        ended[name] = "one line" if is_one_line(done) else last_line(done)[:60]
    return Observation(set(ended.values()) == {"one line"}, "; ".join(f"{k}: {v}" for k, v in ended.items()))


@probe("12 memory")
def memory(folder: Path) -> Observation:
    body = "x = torch.ones(1 << 29)\nmodel = nn.ReLU()\n"
    done = run(["-m", "rfcalc", network(folder, body), "--max-memory", "500M", "--no-budget"], folder)
    return Observation(is_one_line(done) and "needs more memory" in done.stderr, last_line(done))


if __name__ == "__main__":
    main(*sys.argv[1:])
