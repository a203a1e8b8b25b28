"""`python -m export RUN`: a trained network as ONNX, in int8 and in C, and a report on what fits."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from records.errors import tell
from records.flags import Command, Parsed, Program, argument, flag, natural, positive, ratio, switch
from records.program import run

_NEEDED = (
    ({"onnx", "int8"}, ("onnx", "onnxruntime", "onnxscript"), "export"),
    ({"tflite"}, ("litert_torch", "ai_edge_litert"), "tflite"),
)
"""Targets, the packages that write them, and the extra that installs these."""
TARGETS = ("onnx", "int8", "c", "tflite", "html")


def _targets(text: str) -> str:
    for each in text.split(","):
        if each not in TARGETS:
            raise ArgumentTypeError(f"{each!r} is unknown; choose from {', '.join(TARGETS)}")
    return text


@dataclass(frozen=True)
class ExportOptions:
    """What `python -m export` is asked for."""

    target: str = argument(
        "runs/train/NAME, runs/search/NAME, best.safetensors, spec.json, a preset, or model.py:Name",
        metavar="RUN",
    )
    to: str = flag(
        f"what is written, separated by commas: {', '.join(TARGETS)}",
        default="onnx",
        read=_targets,
        metavar="A,B",
    )
    out: Path | None = flag("folder of the files (default: export, in the folder of the run)", metavar="DIR")
    model: str | None = flag("the network where the weights have no spec: model.py:Name", metavar="TARGET")
    input: str | None = flag(
        "size that a network without weights and spec reads; as @CxHxW after its name (default: its own, "
        "else 3x32x32)",
        metavar="CxHxW",
    )
    raw: bool = switch("leave the normalisation out of the ONNX files", group="ONNX")
    opset: int = flag("version of the operators", default=20, read=positive, metavar="N", group="ONNX")
    calibration: int = flag(
        "training images that give the int8 scales",
        default=200,
        read=positive,
        metavar="N",
        group="int8 and C",
    )
    calibration_seed: int = flag(
        "of their choice, and of --qat", default=0, read=natural, metavar="N", group="int8 and C"
    )
    qat: int | None = flag(
        "train so many epochs on with the roundings of int8 before it is written",
        read=positive,
        metavar="EPOCHS",
        group="int8 and C",
    )
    qat_rate: float = flag(
        "its highest learning rate (AdamW)",
        default=1e-4,
        read=ratio,
        metavar="RATE",
        group="int8 and C",
    )
    max_weight_bytes: int | None = flag(
        "exit code 1 where the C code has more bytes of weights",
        read=positive,
        metavar="N",
        group="int8 and C",
    )
    max_arena_bytes: int | None = flag(
        "exit code 1 where the C code needs more memory for activations",
        read=positive,
        metavar="N",
        group="int8 and C",
    )
    emulate: int | None = flag(
        "run the C code on so many images in QEMU (Cortex-M4) and compare every score",
        read=positive,
        metavar="N",
        group="int8 and C",
    )
    cmsis_nn: Path | None = flag(
        "with --emulate: run it once more with CMSIS-NN, whose checkout this is",
        metavar="DIR",
        group="int8 and C",
    )
    data: str | None = flag("images, where not those of the run", metavar="D", group="images")
    cache: str | None = flag("folder of decoded images", metavar="DIR", group="images")
    resize: int | None = flag("for --data: scale to N x N", read=positive, metavar="N", group="images")
    split: str | None = flag(
        "images to measure on (default: those that the run reports)",
        choices=("validation", "test"),
        group="images",
    )
    images: int | None = flag(
        "measure on the first N of them alone", read=positive, metavar="N", group="images"
    )
    debug: bool = switch("show the traceback of an error")

    @property
    def targets(self) -> frozenset[str]:
        """What is written."""
        return frozenset(self.to.split(","))

    @property
    def calibrates(self) -> bool:
        """Whether anything that is written has int8 scales."""
        return bool(self.targets & {"int8", "c"})


def _wrong(parsed: Parsed) -> str | None:
    options: ExportOptions = parsed.options
    for name in ("calibration", "qat"):
        if name in parsed.given and not options.calibrates:
            return f"--{name} means nothing without --to int8 or c"
    for name in ("raw", "opset"):
        if name in parsed.given and not options.targets & {"onnx", "int8"}:
            return f"--{name} means nothing without --to onnx or int8"
    if options.qat is None and "qat_rate" in parsed.given:
        return "--qat-rate means nothing without --qat EPOCHS"
    if "c" not in options.targets:
        for name in ("max_weight_bytes", "max_arena_bytes", "emulate"):
            if name in parsed.given:
                return f"--{name.replace('_', '-')} means nothing without --to c"
    if options.cmsis_nn is not None and options.emulate is None:
        return "--cmsis-nn means nothing without --emulate N"
    return None


PROGRAM = Program(
    "export",
    {
        "": Command(
            ExportOptions,
            "Write a trained network as ONNX, int8, C or a page, and say what it needs.",
            "  python -m export runs/train/NAME\n"
            "  python -m export runs/train/NAME --to onnx,int8,c --emulate 200\n"
            "  python -m export runs/train/NAME --to int8,c --qat 5\n"
            "  python -m export spec.json --to c --max-arena-bytes 65536",
            _wrong,
        )
    },
    prog="python -m export",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 written, 1 written but over a limit, 2 it cannot be done."""
    parsed = PROGRAM.parse(sys.argv[1:] if arguments is None else arguments)
    options: ExportOptions = parsed.options
    for needed, modules, extra in _NEEDED:
        missing = [name for name in modules if needed & options.targets and find_spec(name) is None]
        if missing:
            words = f'{missing[0]} is not installed; install it with pip install -e ".[app,{extra}]"'
            return tell("export", words)
    # torch takes seconds to import: only now, when the arguments are known to be sound.
    from rich.console import Console

    from export.perform import perform
    from models.errors import SpecError
    from rfcalc import RfcalcError

    console = Console(highlight=False, soft_wrap=True)
    return run(
        "export",
        lambda: perform(options, console),
        known=(SpecError, RfcalcError),
        debug=options.debug,
    )


if __name__ == "__main__":
    sys.exit(main())
