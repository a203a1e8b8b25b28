"""Which network a run trains: a preset, a published one, a spec, what a target builds, or that of a run."""

from __future__ import annotations

import argparse
import pkgutil
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

import models.reference
import rfcalc
from models.errors import SpecError
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from records.run import RunRecord
from rfcalc.command.target import Target
from training.errors import TrainingError

PUBLISHED = tuple(sorted(module.name for module in pkgutil.iter_modules(models.reference.__path__)))
"""Names of the networks in models/reference, which `--preset` takes, too."""


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
    notice: str | None = None
    """What the user should know of how it was found."""


@dataclass(frozen=True)
class Choice:
    """What the flags name, before anything of it is built."""

    name: str
    spec: NetSpec | None = None
    target: str | None = None
    """What is to be loaded where there is no spec."""


def chosen(options: argparse.Namespace, device: str) -> Choice:
    """Return what the flags name; so much can be refused before images are loaded, or downloaded.

    Args:
        options: Of train.py.
        device: Its type decides what stands in where nothing is named.

    Raises:
        TrainingError: There is no such preset, or a file cannot be read or holds no spec.
    """
    if options.model is not None:
        return Choice(options.model, target=options.model)
    if options.spec is not None:
        try:
            spec = NetSpec.read(options.spec)
        except SpecError as error:
            raise TrainingError(f"--spec {error}") from error
        return Choice(spec.name, spec)
    usual = "tiny" if device == "cpu" else "residual"
    preset = usual if options.preset is None else options.preset
    if preset in PUBLISHED:
        return Choice(preset, target=f"{models.reference.__name__}.{preset}")
    if preset not in PRESETS:
        raise TrainingError(
            f"--preset {preset}: unknown; choose one of {', '.join(PRESETS)}, "
            f"or of the published ones: {', '.join(PUBLISHED)}"
        )
    return Choice(preset, PRESETS[preset])


def fresh(choice: Choice, input_size: tuple[int, int, int], classes: int) -> Network:
    """Build a network with fresh weights for these images and classes.

    Args:
        choice: Of the flags.
        input_size: (3, height, width) of the images.
        classes: How many.

    Raises:
        SpecError: The network cannot take such images.
        RfcalcError: The target cannot be loaded.
    """
    if choice.spec is not None:
        return _built(choice.spec, input_size, classes)
    return _loaded(choice.target or choice.name, choice.name)


def of_run(record: RunRecord, input_size: tuple[int, int, int], classes: int) -> Network:
    """Build the network of a run anew, by its spec or by the text of its file.

    Raises:
        SpecError: The spec cannot take such images.
        RfcalcError: The target is gone and its text was not kept, or it cannot be loaded.
    """
    if record.spec is not None:
        return _built(NetSpec.from_json(record.spec), input_size, classes)
    target = record.target or record.network
    if record.source is None or _source(target) == record.source:
        return _loaded(target, record.network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.py"
        path.write_text(record.source, encoding="utf-8")
        colon = target.rpartition(":")[1:] if ":" in target else ("", "")
        model = rfcalc.load_model(f"{path}{''.join(colon)}")
    notice = f"{target} is no longer what it was: the network comes from the text in run.json"
    return Network(model, record.network, target=target, source=record.source, notice=notice)


def _built(spec: NetSpec, input_size: tuple[int, int, int], classes: int) -> Network:
    spec = replace(spec, input_size=input_size, classes=classes)
    return Network(build(spec), spec.name, spec=spec.to_json())


def _loaded(target: str, name: str) -> Network:
    return Network(rfcalc.load_model(target), name, target=target, source=_source(target))


def _source(target: str) -> str | None:
    """Return the text of the file that a target stands for, where there is one."""
    try:
        parsed = Target.parse(target)
        found = find_spec(parsed.module) if parsed.path is None else None
        path = Path(found.origin) if found is not None and found.origin else parsed.path
        return path.read_text(encoding="utf-8") if path is not None else None
    except (rfcalc.RfcalcError, ImportError, ValueError, OSError):
        return None
