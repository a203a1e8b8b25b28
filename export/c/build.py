"""The folder of C files: quantised, planned, written, and judged by the interpreter."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from export import deployment, floats
from export.accuracy import accuracy_of
from export.c import arena, interpret, quantise, text
from export.c import emulate as board
from export.c.arithmetic import Program
from export.c.calibration import Stored
from export.errors import ExportError
from export.graph import Graph
from export.images import Images
from export.int8_file import LayerError, decibels
from export.onnx_file import fed
from export.subject import Subject

_BATCH = 100
_COMPARED = 32
"""Images on which the error of each layer is measured."""


def write(
    subject: Subject,
    network: Graph,
    images: Images,
    folder: Path,
    *,
    emulate: int | None,
    cmsis_nn: Path | None = None,
    tuned: tuple[Graph, Sequence[Stored]] | None = None,
) -> dict[str, Any]:
    """Write network.h, network.c and main.c.

    Args:
        subject: The network.
        network: Its operators.
        images: To calibrate and to measure on.
        folder: Is made.
        emulate: So many images are run in QEMU; None: it is not.
        cmsis_nn: A checkout of CMSIS-NN, with which they are run a second time.
        tuned: Operators and storage after `--qat`; None: `network`, calibrated.

    Returns:
        What the report says, as JSON values.

    Raises:
        ExportError: The network cannot be quantised; or QEMU is missing or disagrees.
    """
    if tuned is None:
        stored: Sequence[Stored] = quantise.calibrated(
            subject.name, network, images.calibration, subject.mean, subject.std
        )
    else:
        network, stored = tuned
    program = quantise.program_of(subject.name, subject.classes, network, stored, subject.mean, subject.std)
    plan = arena.plan(program)
    folder.mkdir()
    image = images.calibration[0]
    (folder / "network.h").write_text(text.header(program, plan), encoding="utf-8")
    (folder / "network.c").write_text(
        text.source(program, plan, image, interpret.run(program, image[None])[0]), encoding="utf-8"
    )
    shutil.copyfile(text.MAIN, folder / text.MAIN.name)
    instructions = None if emulate is None else _emulated(program, folder, images.judged[:emulate], None)
    faster = None
    if emulate is not None and cmsis_nn is not None:
        faster = _emulated(program, folder, images.judged[:emulate], cmsis_nn)
    needed = deployment.needs(program, plan, board.code_bytes(folder), instructions, faster)
    scores = answers(program, images.judged)
    accuracy = None
    if images.labels is not None:
        accuracy = accuracy_of(scores.argmax(1), images.labels, images.classes).to_json()
    return {
        "bytes": needed["flash"]["total"],
        "calibration": images.calibration_source,
        "accuracy": accuracy,
        "emulated": None if emulate is None else len(images.judged[:emulate]),
        "errors": [
            each.signal_to_noise for each in step_errors(subject, network, stored, images.calibration)
        ],
        **needed,
    }


def answers(program: Program, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """Return the scores (N, classes) of the interpreter, in batches."""
    rows = [interpret.run(program, images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    return np.concatenate(rows)


def step_errors(
    subject: Subject, network: Graph, stored: Sequence[Stored], images: npt.NDArray[np.uint8]
) -> list[LayerError]:
    """Compare every step of the int8 arithmetic with float32, in the order of execution.

    A ReLU that was merged into the step before it has no step; that step is compared with its result.

    Args:
        subject: The network.
        network: Its operators.
        stored: How each value is stored.
        images: (N, H, W, 3); the first of them are compared.
    """
    program = quantise.program_of(subject.name, subject.classes, network, stored, subject.mean, subject.std)
    some = images[:_COMPARED]
    exact: list[npt.NDArray[np.float32]] = []
    integers: list[npt.NDArray[np.int16]] = []
    floats.run(
        network,
        torch.from_numpy(fed(subject, some, raw=True)),
        lambda value, x: exact.append(x.permute(0, 2, 3, 1).numpy()),
    )
    interpret.run(program, some, lambda value, x: integers.append(x.astype(np.int16)))
    own = quantise.values_of(network)
    found = []
    for value, step in enumerate(program.steps, start=1):
        real = (integers[value].astype(np.float64) - step.scale.zero) * step.scale.scale
        found.append(LayerError(step.name, decibels(exact[own[value]], real)))
    return found


def _emulated(program: Program, folder: Path, images: npt.NDArray[np.uint8], cmsis_nn: Path | None) -> int:
    found = board.emulate(folder, images, len(program.classes), cmsis_nn)
    expected = answers(program, images)
    wrong = int((found.scores != expected).any(axis=1).sum())
    if wrong:
        raise ExportError(
            f"--emulate: QEMU{'' if cmsis_nn is None else ' with CMSIS-NN'} and the interpreter differ in "
            f"the scores of {wrong} of {len(images)} images; nothing was written (report the network)"
        )
    return found.instructions
