"""Whether known faults are mended: one small reproduction each, in any checkout and by any interpreter.

    python -m benchmarks.faults_before [--checkout PATH] [--python PATH] [--only 13] [--list]

The faults are the numbered points that docs/results/faults.md lists; commit 7dd195b has them. Each
reproduction is a process of its own that runs in the checkout, through what old and new commits offer; one
that ends by a signal has failed. Exit code 0: every point that could be tried holds; 1: some fail.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.fault_probes.common import PROBES

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT.parent / "shared" / "cases" / "rf"
PATIENCE = 600.0
"""Seconds that one reproduction may take."""


def reproduced(name: str, module: str, checkout: Path, python: str) -> tuple[str, str]:
    """Run a reproduction; return "holds", "fails" or "skipped", and what was observed."""
    # Of this tree the probes alone are on the path, behind the checkout.
    path = os.pathsep.join((str(checkout), str(ROOT / "benchmarks")))
    environment = os.environ | {"PYTHONPATH": path, "FAULT_CASES": str(CASES), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [python, "-W", "ignore", "-m", f"fault_probes.{module}", name, folder],
                cwd=checkout,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "fails", f"not ended after {PATIENCE:.0f} s"
    if done.returncode < 0:
        return "fails", f"ended by signal {-done.returncode}"
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return "fails", (done.stderr.strip().splitlines() or ["no answer"])[-1]
    if "skipped" in answer:
        return "skipped", answer["skipped"]
    return "holds" if answer["holds"] else "fails", answer["observed"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkout", type=Path, default=ROOT, help="tree to try (default: this one)")
    parser.add_argument("--python", default=sys.executable, help="interpreter with its dependencies")
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose name begins with this")
    parser.add_argument("--list", action="store_true", help="name the reproductions and end")
    options = parser.parse_args(arguments)
    for module in ("content", "fields", "pages"):
        importlib.import_module(f"benchmarks.fault_probes.{module}")
    chosen = [name for name in PROBES if name.startswith(options.only)]
    chosen.sort(key=lambda name: int(name.split()[0]))
    console = Console()
    if options.list:
        console.print("\n".join(chosen), markup=False)
        return 0
    table = Table("point", "", "observed", title=f"{len(chosen)} reproductions in {options.checkout.name}")
    counts = {"holds": 0, "fails": 0, "skipped": 0}
    for name in chosen:
        began = time.monotonic()
        outcome, observed = reproduced(name, PROBES[name][0], options.checkout.resolve(), options.python)
        counts[outcome] += 1
        seconds = f"{time.monotonic() - began:4.0f} s"
        console.print(f"{outcome:8} {seconds}  {name}: {observed}", markup=False, soft_wrap=True)
        table.add_row(name, outcome, observed)
    console.print(table)
    console.print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts["fails"] else 0


if __name__ == "__main__":
    sys.exit(main())
