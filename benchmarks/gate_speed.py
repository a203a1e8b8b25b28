"""Several networks in one call of rfcalc against one of them alone.

    python -m benchmarks.gate_speed [--networks 6] [--repeats 7] [--json FILE]

A claim: six targets in one call take at most 1.3 times as long as the slowest of them alone, since PyTorch is
imported once. Every network is a copy of one file; each repeat calls rfcalc for one and for all, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "examples" / "c1c2c3c4.py"
ALLOWED = 1.3


def seconds(targets: list[str]) -> float:
    """Return how long a call takes that checks these files."""
    command = [sys.executable, "-m", "rfcalc", *targets, "--no-budget", "--quiet"]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - began


def main(arguments: list[str] | None = None) -> int:
    """Measure; return 0 where the ratio of the medians is at most `ALLOWED`, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=6, help="targets of the long call (default 6)")
    parser.add_argument("--repeats", type=int, default=7, help="calls of each kind (default 7)")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        targets = [str(Path(folder, f"network{i}.py")) for i in range(options.networks)]
        for target in targets:
            Path(target).write_text(SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
        seconds(targets[:1])  # fills the file system's cache
        pairs = [(seconds(targets[:1]), seconds(targets)) for _ in range(options.repeats)]
    one, several = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = several / one
    Console().print(
        f"{options.networks} networks in {several:.2f} s, one in {one:.2f} s (medians of {options.repeats}): "
        f"ratio {ratio:.2f}, at most {ALLOWED} allowed"
    )
    if options.json:
        options.json.write_text(json.dumps({"pairs": pairs, "ratio": ratio}, indent=2), encoding="utf-8")
    return 0 if ratio <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
