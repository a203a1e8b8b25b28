"""Probes of speed, pages and the terminal: points 22, 24 and 25."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from .common import Observation, SkippedError, is_one_line, last_line, main, network, probe, run


@probe("22 speed of coat_lite")
def speed(folder: Path) -> Observation:
    import torch

    import rfcalc

    try:
        import timm
        import torchinfo
    except ImportError as error:
        raise SkippedError(f"{error.name} is not installed") from error
    torch.set_num_threads(1)
    seconds: dict[str, float] = {}
    for name in ("rfcalc", "torchinfo"):
        for _ in range(2):  # the second time without imports and caches
            model = timm.create_model("coat_lite_tiny", pretrained=False).eval()
            began = time.process_time()
            if name == "rfcalc":
                rfcalc.analyze(model, input_size=(3, 224, 224))
            else:
                torchinfo.summary(model, (1, 3, 224, 224), verbose=0)
            seconds[name] = time.process_time() - began
    ratio = seconds["rfcalc"] / seconds["torchinfo"]
    return Observation(ratio <= 1.5, f"{ratio:.2f} times torchinfo's CPU time ({seconds['rfcalc']:.2f} s)")


def _read(places: dict[str, tuple[str, ...]]) -> Observation:
    """Look for lines that are the fault: shown by reading, not by running."""
    found = []
    for pattern, files in places.items():
        for path in files:
            if Path(path).is_file():
                lines = Path(path).read_text(encoding="utf-8").splitlines()
                found += [f"{path}:{number}" for number, line in enumerate(lines, 1) if pattern in line]
    return Observation(not found, f"by reading: {', '.join(found) or 'no such line'}")


@probe("24 elapsed time called left")
def elapsed_called_left(folder: Path) -> Observation:
    return _read(
        {
            "TimeRemainingColumn(elapsed_when_finished=True)": (
                "training/display.py",
                "training/command/display.py",
            )
        }
    )


@probe("24 golden captures of a terminal")
def captures(folder: Path) -> Observation:
    widths = [w for w in (80, 110, 140) if list(Path("tests/golden").rglob(f"*{w}*.txt"))]
    return Observation(widths == [80, 110, 140], f"golden captures at {widths or 'no width'}")


@probe("25 model before download")
def model_before_download(folder: Path) -> Observation:
    words: list[str | Path] = [
        Path("train.py").resolve(),
        "--model",
        "nofile.py",
        "--data",
        "cifar10",
        "--cache",
        folder / "c",
    ]
    nowhere = dict.fromkeys(("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9")
    done = run(words, folder, **nowhere)
    return Observation(is_one_line(done) and "nofile.py" in done.stderr, last_line(done))


@probe("25 folder of a search")
def folder_of_a_search(folder: Path) -> Observation:
    search = folder / "runs" / "search" / "one"
    (search / "best").mkdir(parents=True)
    (search / "search.json").write_text(json.dumps({"schema": 1}))
    network(search / "best", "model = nn.Conv2d(3, 4, 3)\n", "model.py")
    done = run(["-m", "rfcalc", search, "--no-budget"], folder)
    named = [word.strip(";,.:") for word in done.stderr.split() if "runs/search" in word or "best" in word]
    there = [word for word in named if Path(folder, word).exists()]
    holds = done.returncode == 0 or (is_one_line(done) and len(there) == len(named) > 0)
    return Observation(holds, last_line(done))


if __name__ == "__main__":
    main(*sys.argv[1:])
