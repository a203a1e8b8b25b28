"""Networks for microcontrollers side by side: accuracy in float32 and int8, parameters, MACs, flash, RAM.

    python -m benchmarks.mcu_table [RUN[=MODEL] ...] [--json FILE] [-- FLAGS of python -m export]

A RUN is what `python -m export` takes: the folder of a run, a spec.json, a name, or model.py:Name; =MODEL
names the code of a run whose weights have no spec. Without one, two presets and MLPerf Tiny's ResNet-8 with
fresh weights: sizes alone. The figures of the C code are those of `python -m export RUN --to c`; below the
table are the commands that make each row. The proof beside MLPerf Tiny, on CIFAR-10:

    python train.py --data cifar10 --preset residual-mcu --recipe standard --full --name mcu
    python train.py --data cifar10 --preset resnet8 --recipe standard --full --name resnet8
    python -m benchmarks.mcu_table runs/train/mcu runs/train/resnet8=models.reference.resnet8 -- --emulate 200

The quality target of MLPerf Tiny for its ResNet-8 is 85 % (https://github.com/mlcommons/tiny).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from export.__main__ import main as export
from export.subject import open_subject
from records.errors import UserError
from records.files import write_json

FRESH = ("residual-mcu", "tiny", "resnet8")
"""Networks whose sizes are shown where no run is named."""
HEAD = ("network", "float32 %", "int8 %", "params", "MACs", "weights", "flash", "arena", "RAM", "of")


def row(target: str, flags: Sequence[str]) -> dict[str, Any]:
    """Export one network to a scratch folder and return its figures.

    Args:
        target: RUN or RUN=MODEL.
        flags: Of `python -m export`, beside the target, --to c and --out.

    Raises:
        UserError: It cannot be exported.
    """
    path, _, model = target.partition("=")
    words = [path, *(["--model", model] if model else []), "--to", "c", *flags]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        out = Path(folder) / "export"
        if export([*words, "--out", str(out)]) == 2:
            raise UserError(f"{target}: could not be exported; the line above has the reason")
        part = json.loads((out / "export.json").read_text(encoding="utf-8"))["parts"]["c"]
    subject = open_subject(path, model=model or None)
    record = None if subject.trained is None else subject.trained.record
    commands = [] if record is None or not record.command else [record.command]
    return {
        "network": subject.name,
        "float32": part["reference"],
        "int8": part["accuracy"],
        "images": part["images"],
        "qat": part["qat"],
        "params": sum(parameter.numel() for parameter in subject.network.parameters()),
        "macs": sum(part["macs"].values()),
        "flash": part["flash"],
        "ram": part["ram"],
        "emulated": part["emulated"],
        "commands": [*commands, shlex.join(["python", "-m", "export", *words])],
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table and, below it, what the figures are of and the commands; sizes in bytes."""
    lines = [f"| {' | '.join(HEAD)} |", "|---|" + "---:|" * (len(HEAD) - 2) + "---|"]
    for each in rows:
        ram = sum(each["ram"][name] for name in ("arena", "input", "scores"))
        code = "" if each["flash"]["code"] is None else " with code"
        cells = [
            each["network"],
            *(_percent(each[name]) for name in ("float32", "int8")),
            *(f"{number:,}" for number in (each["params"], each["macs"], each["flash"]["weights"])),
            f"{each['flash']['total']:,}{code}",
            *(f"{number:,}" for number in (each["ram"]["arena"], ram)),
            each["images"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for each in rows:
        lines += ["", f"{each['network']}:", "", *(f"    {command}" for command in each["commands"])]
        if each["emulated"]:
            lines.append(
                f"\nIts C code gave the interpreter's scores in QEMU on {each['emulated']:,} images."
            )
    return "\n".join(lines)


def _percent(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    low, high = found["interval95"]
    return f"{100 * found['accuracy']:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 a network cannot be exported."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    at = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="RUN[=MODEL]")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(words[:at])
    flags = words[at + 1 :]
    try:
        rows = [row(target, flags) for target in options.targets or FRESH]
    except UserError as error:
        print(f"mcu_table: error: {error}", file=sys.stderr)
        return 2
    Console(soft_wrap=True, highlight=False).print(markdown(rows), markup=False)
    if options.json:
        write_json(options.json, {"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
