"""Which network a run trains: a preset, a published one, a spec, what a target builds, or that of a run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from torch import nn

import rfcalc
from models.catalogue import NETWORKS, PUBLISHED, Entry, is_own, read, spec_of
from models.errors import SpecError
from models.net import build
from models.spec import NetSpec
from records.run import RunRecord
from records.text import unknown
from rfcalc import Target
from rfcalc.command.options import parse_arguments
from training.command.options import Options
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
    notice: str | None = None
    """What the user should know of how it was found."""


@dataclass(frozen=True)
class Choice:
    """The network that the flags name, before anything of it is built."""

    name: str
    spec: NetSpec | None = None
    target: str | None = None
    """What is to be loaded where there is no spec."""


def chosen(options: Options, device: str) -> Choice:
    """Return what the flags name; so much can be refused before images are loaded, or downloaded.

    Args:
        options: Of train.py.
        device: Its type; it decides which preset is the default.

    Raises:
        TrainingError: There is no such preset, or a file cannot be read or holds no spec.
    """
    if options.model is not None:
        return _of_target(options.model)
    if options.spec is not None:
        try:
            found = read(Path(options.spec))
        except SpecError as error:
            raise TrainingError(f"--spec {error}") from error
        return _of_entry(found.spec.name if found.spec else options.spec, found)
    usual = "tiny" if device == "cpu" else "residual"
    preset = usual if options.preset is None else options.preset
    if preset not in NETWORKS:
        raise TrainingError(
            f"--preset {preset}: {unknown(preset, NETWORKS)}; --model takes files and run folders, too"
        )
    return _of_entry(preset, NETWORKS[preset])


def _of_entry(name: str, entry: Entry) -> Choice:
    return Choice(name, entry.spec, entry.target or None)


def _of_target(text: str) -> Choice:
    """Return what `--model` names; a network that has a spec is built of it, so nothing is run for it.

    Raises:
        RfcalcError: There is no such network.
        TrainingError: Its input size is given, which the images decide.
    """
    target = Target.parse(text)
    if target.given_size is not None:
        raise TrainingError(f"--model {text}: the images decide the size; leave the @ out, or use --resize")
    catalogue = target.catalogue
    if not is_own(catalogue.root if catalogue else None):  # a network of the user's own catalogue
        return Choice(text, target=text)
    spec = spec_of(target.named, target.described)
    if spec is not None:
        return Choice(target.named or spec.name, spec)
    return Choice(text, target=PUBLISHED[text].target if target.named else text)


def built(spec: NetSpec, input_size: tuple[int, int, int], classes: int) -> Network:
    """Build a network with fresh weights for these images and classes.

    Args:
        spec: Of the network; its own input size and classes give way.
        input_size: (3, height, width) of the images.
        classes: How many.

    Raises:
        SpecError: The network cannot take such images.
    """
    spec = replace(spec, input_size=input_size, classes=classes)
    return Network(build(spec), spec.name, spec=spec.to_json())


def loaded(target: str, name: str, arguments: Mapping[str, Any] | None = None) -> Network:
    """Load a network with fresh weights, which runs the file that the target names.

    Args:
        target: Of rfcalc.
        name: What the run calls it.
        arguments: Keyword arguments of the class or function.

    Raises:
        RfcalcError: The target cannot be loaded.
    """
    return Network(rfcalc.load_model(target, arguments), name, target=target, source=source_of(target))


def loaded_again(record: RunRecord) -> Network:
    """Load the network of a run that has no spec from its target, or from the text that the record keeps.

    Raises:
        RfcalcError: The target is gone and its text was not kept, or it cannot be loaded.
    """
    target, arguments = record.target or record.network, arguments_of(record)
    if record.source is None or source_of(target) == record.source:
        return loaded(target, record.network, arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.py"
        path.write_text(record.source, encoding="utf-8")
        colon = target.rpartition(":")[1:] if ":" in target else ("", "")
        model = rfcalc.load_model(f"{path}{''.join(colon)}", arguments)
    notice = f"{target} is no longer what it was: the network comes from the text in run.json"
    return Network(model, record.network, target=target, source=record.source, notice=notice)


def arguments_of(record: RunRecord) -> dict[str, Any]:
    """Return the arguments that the network of a run was built with.

    Raises:
        RfcalcError: The record holds a text that is none.
    """
    return parse_arguments(record.settings.arguments) if record.settings else {}


def refuse_another_file(target: str, record: RunRecord, way_out: str) -> None:
    """Compare the file that a resumed run is about to load with the text in its record; nothing is run.

    Args:
        target: What is about to be loaded.
        record: Of the run.
        way_out: The flags by which the user takes the file as it is.

    Raises:
        TrainingError: They differ, or the record keeps no text.
    """
    if record.source is None:
        raise TrainingError(
            f"{target}: run.json of {record.name!r} keeps no text of it to compare it with before it is run; "
            f"name it yourself with {way_out}, or choose another --name"
        )
    if source_of(target) != record.source:
        raise TrainingError(
            f"{target}: is not what {record.name!r} was started with (run.json has its text); "
            "bring that back, or choose another --name"
        )


def source_of(target: str) -> str | None:
    """Return the text of the file that a target names, None where there is none; no code is run."""
    try:
        parsed = Target.parse(target)
        path = parsed.path if parsed.path is not None else _module_file(parsed.module)
        return path.read_text(encoding="utf-8") if path is not None else None
    except (rfcalc.RfcalcError, ImportError, ValueError, OSError):
        return None


def _module_file(module: str) -> Path | None:
    """Return the file of a module without importing its packages, as importlib.util.find_spec would."""
    places: list[str] | None = None
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}".lstrip(".")
        finders = (finder.find_spec(name, places) for finder in sys.meta_path)
        spec = next((found for found in finders if found is not None), None)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
