"""Whether the tests find faults: forty are planted, one at a time, in a copy of the tree.

    python -m benchmarks.planted_faults [--only models] [--first] [--list]

Each fault is one line that is wrong and still runs. The tests named beside it must fail; where they all pass,
the fault has survived, and a test is missing. The checkout itself is never changed. Exit code 0: at most
`ALLOWED` faults survive; 1: more; 2: the list is out of date (a text is not found exactly once in its file).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = 0
PATIENCE = 300.0
"""Seconds that the tests of one fault may take; a fault that makes them hang is found."""


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    Attributes:
        file: Path from the root.
        old: Text of the file, there exactly once.
        new: What replaces it.
        tests: Paths of the tests that should fail.
    """

    file: str
    old: str
    new: str
    tests: str


KIND, RULES, HULLS = "models/kinds/kind.py", "models/rules.py", "models/hulls.py"
COUNTED = "tests/models/test_arithmetic.py"
FIELDS = "tests/models/test_fields.py"
SPECS = "tests/models/test_spec.py"
LIMITS = "tests/models/test_limits.py"
STRUCTURE = "tests/rfcalc/analysis/test_structure.py"
BUDGET = "tests/rfcalc/analysis/test_budget.py"
FIT = "tests/training/fit"

FAULTS = (
    # The grammar and its closed forms.
    Fault(KIND, "params += 2 * out * hidden + hidden + out", "params += 2 * out * hidden + out", COUNTED),
    Fault(KIND, "macs += 2 * layer.width * layer.squeeze_width", "macs += layer.width", COUNTED),
    Fault(KIND, "pointwise = 3 * out if gated", "pointwise = 2 * out if gated", COUNTED),
    Fault(KIND, "(4 if act else 3) * out + base", "3 * out + base", COUNTED),
    Fault(KIND, "return 0, not layer.residual", "return 0, True", "tests/models"),
    Fault("models/kinds/transposed.py", "return weights * inputs", "return weights * outputs", COUNTED),
    Fault("models/kinds/transposed.py", "return reach - behind, behind", "return behind, reach - behind", FIELDS),
    Fault("models/kinds/split.py", "(share + (number < left))", "share", COUNTED),
    Fault("models/kinds/split.py", "2 * middle - passed + read)", "2 * middle - passed)", COUNTED),
    Fault("models/kinds/convolution.py", "return layer.kernel > 1 and channels > 1 and", "return", "tests/models"),
    Fault(HULLS, "period = lcm(len(first.lows), len(second.lows))", "period = len(first.lows)", FIELDS),
    Fault(HULLS, "% stride == 0]", "% stride >= 0]", FIELDS),
    Fault(RULES, "if down != up:", "if down < up:", SPECS),
    Fault(RULES, "if height < 1 or width < 1:", "if height < 1 and width < 1:", SPECS),
    Fault(RULES, "not 1 <= layer.stride <= MAX_STRIDE", "layer.stride < 1", LIMITS),
    Fault(RULES, "if up > MAX_UPSAMPLINGS:", "if up > 2 * MAX_UPSAMPLINGS:", LIMITS),
    Fault(RULES, "0 <= value < 1:", "0 <= value <= 1:", SPECS),
    Fault("models/fill.py", "step = lcm(steps[first],", "step = max(steps[first],", "tests/models/test_fill.py"),
    Fault("models/fill.py", "permutations(ties, 2)", "permutations(ties[1:], 2)", "tests/models/test_fill.py"),
    Fault("models/blocks.py", "std=(2 / fan_in) ** 0.5", "std=(1 / fan_in) ** 0.5", "tests/models/test_net.py"),
    Fault("models/blocks.py", "nn.init.zeros_(last.weight)", "pass", "tests/models/test_net.py"),
    Fault("models/jsonio.py", 'or isinstance(data["schema"], bool)', "", SPECS),
    # The library.
    Fault("rfcalc/ops/window.py", "> 1 and max(self.kernel) > 1", "> 1", STRUCTURE),
    Fault("rfcalc/maps/geometry.py", "dilation * t - padding for t", "dilation * t for t", "tests/rfcalc/maps"),
    Fault("rfcalc/maps/geometry.py", "if place % stride == 0))", "if place % stride >= 0))", "tests/rfcalc/maps"),
    Fault("rfcalc/analysis/budget.py", "margin = bound - value", "margin = bound - value - 1", BUDGET),
    Fault("rfcalc/analysis/budget.py", "margin = abs(value - bound)", "margin = bound - value", BUDGET),
    Fault("rfcalc/analysis/measures.py", "return min(field.size),", "return max(field.size),", BUDGET),
    Fault("rfcalc/analysis/budget.py", "if limit.held is False)", "if not limit.held)", BUDGET),
    # Training.
    Fault("training/fit/muon.py", "scale = max(1.0, rows / columns) ** 0.5", "scale = 1.0", f"{FIT}/test_muon.py"),
    Fault("training/fit/muon.py", 'lerp_(parameter.grad, 1 - group["momentum"])', 'lerp_(parameter.grad, group["momentum"])', f"{FIT}/test_muon.py"),
    Fault("training/fit/evaluate.py", "where=counts > 0)", "where=counts > 1)", f"{FIT}/test_evaluate.py"),
    Fault("training/fit/optim.py", 'rate * group.get("share", 1.0)', "rate", f"{FIT}/test_optim.py"),
    Fault("training/data/splits.py", "waiting = (position + 0.5) / size", "waiting = position + 0.5", "tests/training/data"),
    Fault("training/data/splits.py", "1, size - 1)", "0, size)", "tests/training/data"),
    Fault("training/batches/mixing.py", "mix.share)\n    top", "mix.share / 2)\n    top", "tests/training/batches/test_mixing.py"),
    # Records and the search.
    Fault("records/files.py", "temporary.unlink(missing_ok=True)\n        raise", "pass\n        raise", "tests/records"),
    Fault("records/files.py", "allow_nan=False", "allow_nan=True", "tests/records"),
    Fault("search/pruning.py", "math.ceil(HALF * epochs)", "1", "tests/search/session/test_climb.py"),
    Fault("search/propose/gate.py", '"max_params": known.params', '"max_params": 0', "tests/search/propose/test_gate.py"),
)  # fmt: skip


FIRST = (
    Fault("records/files.py", "            os.fsync(file.fileno())", "            pass", "tests/records/test_files.py"),
    Fault("records/files.py", "        os.fsync(descriptor)", "        pass", "tests/records/test_files.py"),
    Fault("training/fit/checkpoint.py", "    link.unlink(missing_ok=True)\n", "", f"{FIT}/test_checkpoint.py"),
    Fault("rfcalc/ops/window.py", "> 1 and max(self.kernel) > 1", "> 1", STRUCTURE),
    Fault("training/fit/recipe.py", "ema: float = 0.0", "ema: float = 0.5", f"{FIT}/test_recipe_values.py"),
    Fault("training/fit/recipe.py", "weight_decay=0.02,", "weight_decay=0.2,", f"{FIT}/test_recipe_values.py"),
    Fault("records/pictures.py", "image.height > most:", "image.height > 9 * most:", "tests/records/test_pictures.py"),
    Fault("reports/pages/html.py", " base-uri 'none'; form-action 'none'", "", "tests/reports/pages/test_html.py"),
)  # fmt: skip
"""The eight that had survived at 7dd195b, where the files have other names."""


def stale(fault: Fault, root: Path = ROOT) -> str | None:
    """Return why a fault cannot be planted, or None."""
    path = root / fault.file
    if not path.is_file():
        return "the file is gone"
    count = path.read_text(encoding="utf-8").count(fault.old)
    if count != 1:
        return f"its text occurs {count} times, not once"
    missing = [test for test in fault.tests.split() if not (root / test).exists()]
    return f"{', '.join(missing)} is gone" if missing else None


def survives(fault: Fault, copy: Path) -> bool:
    """Plant a fault in `copy`, run its tests there, mend it, and tell whether all tests passed."""
    path = copy / fault.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound.replace(fault.old, fault.new), encoding="utf-8")
    # What is installed may be the checkout itself; the copy comes first.
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-m", "", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*words, *fault.tests.split()],
            cwd=copy,
            env=environment,
            timeout=PATIENCE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        path.write_text(sound, encoding="utf-8")
    return done.returncode == 0


def copy_tree(folder: Path) -> Path:
    """Copy what git knows of, and what is new and not ignored, to a folder."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, folder / name
        if source.is_file():  # not one that was just deleted
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="faults whose file begins with this")
    parser.add_argument("--first", action="store_true", help="the eight that began the list, not the forty")
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    options = parser.parse_args(arguments)
    chosen = [fault for fault in (FIRST if options.first else FAULTS) if fault.file.startswith(options.only)]
    console = Console()
    outdated = [(fault, why) for fault in chosen if (why := stale(fault))]
    for fault, why in outdated:
        console.print(f"{fault.file}: {fault.old!r}: {why}", markup=False, soft_wrap=True)
    if options.list:
        for fault in chosen:
            console.print(f"{fault.file}: {fault.old!r} -> {fault.new!r}", markup=False, soft_wrap=True)
        return 2 if outdated else 0
    if outdated:
        return 2
    table = Table("fault", "file", "", "s", title=f"{len(chosen)} planted faults")
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder, "tree"))
        for fault in chosen:
            began = time.monotonic()
            survived = survives(fault, copy)
            survivors += survived
            seconds = time.monotonic() - began
            verdict = "SURVIVED" if survived else "found"
            console.print(f"{verdict:8} {seconds:5.0f} s  {fault.file}: {fault.new!r}", markup=False)
            table.add_row(fault.new, fault.file, verdict, f"{seconds:.0f}")
    console.print(table)
    console.print(f"{survivors} of {len(chosen)} survive; at most {ALLOWED} may")
    return 1 if survivors > ALLOWED else 0


if __name__ == "__main__":
    sys.exit(main())
