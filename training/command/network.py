"""Which network a run trains: a preset, a spec, or whatever a target builds."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

import rfcalc
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from training.command.files import read_json
from training.errors import TrainingError


@dataclass(frozen=True)
class Network:
    """A network with fresh weights, and what defines it."""

    model: nn.Module
    name: str
    spec: dict[str, Any] | None = None
    target: str | None = None
    """What was loaded where there is no spec."""
    source: str | None = None
    """The text of that file."""


def fresh(
    options: argparse.Namespace, device: str, input_size: tuple[int, int, int], classes: int
) -> Network:
    """Build the network that the flags name, for these images and classes.

    Args:
        options: Of train.py.
        device: Its type decides what stands in where nothing is named.
        input_size: (3, height, width) of the images.
        classes: How many.

    Raises:
        TrainingError: There is no such preset, or a file cannot be read.
        SpecError: The spec is wrong, or cannot take such images.
        RfcalcError: The target cannot be loaded.
    """
    if options.model:
        path = Path(options.model.partition(":")[0])
        source = path.read_text(encoding="utf-8") if path.is_file() else None
        return Network(rfcalc.load_model(options.model), options.model, target=options.model, source=source)
    if options.spec:
        spec = NetSpec.from_json(read_json(options.spec, "--spec"))
    else:
        preset = options.preset or ("tiny" if device == "cpu" else "residual")
        if preset not in PRESETS:
            raise TrainingError(f"--preset {preset}: unknown; choose one of {', '.join(PRESETS)}")
        spec = PRESETS[preset]
    spec = replace(spec, input_size=input_size, classes=classes)
    return Network(build(spec), spec.name, spec=spec.to_json())
