"""The C code on an emulated Cortex-M: QEMU's mps2 board with semihosting, and the size of its code."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.errors import ExportError

COMPILER, EMULATOR, SIZE = "arm-none-eabi-gcc", "qemu-system-arm", "arm-none-eabi-size"
CORE, BOARD = "cortex-m4", "mps2-an386"
FLAGS = (f"-mcpu={CORE}", "-mthumb", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror")
INSTRUCTIONS_A_TICK = 40
"""The board's 25 MHz at one nanosecond an instruction, which is what `-icount shift=0` sets."""
_SECONDS_AN_IMAGE = 30
_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Emulated:
    """What the emulated board printed."""

    scores: npt.NDArray[np.int16]
    """(N, classes)"""
    instructions: int
    """Of one image, median."""


def missing(*programs: str) -> str | None:
    """Return what keeps the code from being compiled or emulated here, None where nothing does."""
    absent = [name for name in programs if shutil.which(name) is None]
    if not absent:
        return None
    packages = "gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm"
    return f"{' and '.join(absent)} not found; Debian has {packages}"


def code_bytes(folder: Path) -> int | None:
    """Return the bytes that network.c adds to the flash: code and constants, -O2, without its self-test.

    Returns:
        Text and data of the object file; None where the compiler is missing.
    """
    if missing(COMPILER, SIZE):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch) / "network.o"
        _checked(
            COMPILER,
            *FLAGS,
            "-DNETWORK_NO_SELF_TEST",
            "-c",
            "-o",
            str(compiled),
            str(folder.resolve() / "network.c"),
            place=Path(scratch),
        )
        listed = _checked(SIZE, str(compiled), place=Path(scratch))
    text, data = listed.splitlines()[1].split()[:2]
    return int(text) + int(data)


def check_cmsis_nn(folder: Path) -> None:
    """Look for CMSIS-NN.

    Args:
        folder: Of the checkout, with Include and Source.

    Raises:
        ExportError: It is not there.
    """
    if not (folder / "Include" / "arm_nnfunctions.h").is_file():
        raise ExportError(
            f"--cmsis-nn: {folder}/Include/arm_nnfunctions.h is missing; name a checkout of "
            "github.com/ARM-software/CMSIS-NN"
        )


def cmsis_nn_sources(folder: Path) -> list[Path]:
    """Return the C files of CMSIS-NN among which those are that network.c calls, without floating point."""
    found = (
        file
        for part in ("ConvolutionFunctions", "NNSupportFunctions")
        for file in (folder.resolve() / "Source" / part).glob("*.c")
    )
    return sorted(file for file in found if not file.stem.endswith(("_f16", "_f32", "_flt")))


def emulate(
    folder: Path, images: npt.NDArray[np.uint8], classes: int, cmsis_nn: Path | None = None
) -> Emulated:
    """Compile network.c of a folder for a Cortex-M4 and run it on images in QEMU.

    Args:
        folder: Holds network.c and network.h.
        images: (N, H, W, 3)
        classes: Number of scores.
        cmsis_nn: A checkout of CMSIS-NN that it is to call; None: plain C.

    Raises:
        ExportError: A program is missing, the code does not compile, or the board does not answer.
    """
    if (why := missing(COMPILER, EMULATOR)) is not None:
        raise ExportError(f"--emulate: {why}")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "images.bin").write_bytes(np.ascontiguousarray(images).tobytes())
        sources = (str(folder.resolve() / "network.c"), str(_HERE / "startup.c"))
        script = str(_HERE / "mps2.ld")
        library = () if cmsis_nn is None else _compiled(cmsis_nn, place)
        _checked(
            *(COMPILER, *FLAGS, f"-I{folder.resolve()}", "-specs=rdimon.specs", "-T", script),
            *("-o", "network.elf", *sources, *library),
            place=place,
        )
        printed = _checked(
            *(EMULATOR, "-machine", BOARD, "-nographic", "-icount", "shift=0"),
            *("-semihosting-config", "enable=on,target=native", "-kernel", "network.elf"),
            place=place,
            seconds=60 + _SECONDS_AN_IMAGE * len(images),
        )
    rows = np.array([line.split() for line in printed.splitlines() if line.strip()], dtype=object)
    if rows.shape != (len(images), classes + 1):
        raise ExportError(
            f"--emulate: {EMULATOR} printed {printed[:200]!r} instead of {len(images)} lines of scores"
        )
    numbers = rows.astype(np.int64)
    return Emulated(numbers[:, 1:].astype(np.int16), int(np.median(numbers[:, 0])) * INSTRUCTIONS_A_TICK)


def _compiled(cmsis_nn: Path, place: Path) -> tuple[str, ...]:
    """Compile CMSIS-NN; return what network.c is compiled and linked with."""
    files = cmsis_nn_sources(cmsis_nn)
    shared = (f"-isystem{cmsis_nn.resolve() / 'Include'}", "-DCMSIS_NN_USE_SINGLE_ROUNDING")
    # Functions that nothing calls may call what is in folders that are not compiled.
    sections = ("-ffunction-sections", "-fdata-sections")
    _checked(COMPILER, *FLAGS, "-w", *sections, *shared, "-c", *map(str, files), place=place)
    return (*shared, "-DNETWORK_CMSIS_NN", "-Wl,--gc-sections", *(f"{file.stem}.o" for file in files))


def _checked(*command: str, place: Path, seconds: int = 120) -> str:
    """Run a program and return what it prints.

    Raises:
        ExportError: It fails or does not end.
    """
    try:
        done = subprocess.run(
            command,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{command[0]}: no end after {seconds} seconds") from error
    if done.returncode:
        raise ExportError(f"{command[0]}: fails: {(done.stderr or done.stdout).strip()[:500]}")
    return done.stdout
