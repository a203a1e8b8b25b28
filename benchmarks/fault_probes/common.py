"""What the probes share: how one is entered, how a command is run, and adapters for modules that moved.

A probe runs inside any checkout, old or new, with that checkout first on the path. It may use what both
offer: the command lines, the public functions of `rfcalc`, and by `either` a function under its new or its
old name.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "PROBES",
    "Observation",
    "SkippedError",
    "analysis",
    "case",
    "either",
    "field_text",
    "is_one_line",
    "last_line",
    "main",
    "network",
    "probe",
    "run",
]

PATIENCE = 240.0
"""Seconds that one command may take on a machine that does other things, too."""

HEAD = "import torch, sys\nfrom torch import nn\nimport torch.nn.functional as F\n"


@dataclass(frozen=True)
class Observation:
    """What was observed: whether the point holds, and the values that show it."""

    holds: bool
    observed: str


Probe = Callable[[Path], Observation]

PROBES: dict[str, tuple[str, Probe]] = {}
"""Name of a probe, "13 class token" -> its module and the probe; filled where the modules are imported."""


class SkippedError(Exception):
    """The probe cannot run here; the text says why."""


def probe(name: str) -> Callable[[Probe], Probe]:
    """Enter a probe under the number of its point and a few words."""

    def entered(function: Probe) -> Probe:
        PROBES[name] = (function.__module__.rpartition(".")[2], function)
        return function

    return entered


def either(*places: str) -> Any:
    """Return the first of some "module:name" that there is: the new place, then the old one.

    Raises:
        SkippedError: There is none of them.
    """
    for place in places:
        module, name = place.split(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise SkippedError(f"neither {' nor '.join(places)}")


def run(
    words: Sequence[str | Path], folder: Path, *, stdout: Any = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the checkout's interpreter in a folder: `["-m", "rfcalc", ...]`."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=os.environ | environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        timeout=PATIENCE,
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str], characters: int = 160) -> str:
    """Return the exit code and the last line of stderr of a command that has ended."""
    lines = done.stderr.strip().splitlines()
    return f"exit {done.returncode}: {lines[-1][:characters] if lines else '(nothing on stderr)'}"


def is_one_line(done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether a command ended as a mistake of the user does: code 2, one line, no fault of ours."""
    return done.returncode == 2 and done.stderr.count("\n") == 1 and "bug of" not in done.stderr


def case(name: str) -> Path:
    """Return one of the minimal inputs that came with the report.

    Raises:
        SkippedError: They are not beside this checkout.
    """
    folder = Path(os.environ["FAULT_CASES"])
    if not folder.is_dir():
        raise SkippedError(f"no {folder}")
    return folder / name


def network(folder: Path, body: str, name: str = "net.py") -> Path:
    """Write a model file: imports, then `body`."""
    path = folder / name
    path.write_text(HEAD + body, encoding="utf-8")
    return path


def analysis(path: Path, *size: int, **options: Any) -> Any:
    """Analyse a model file through the public functions that every version has."""
    import rfcalc

    return rfcalc.analyze(rfcalc.load_model(str(path)), input_size=size, **options)


def field_text(field: Any) -> str:
    """Return size, jump and flags of a field, as a report would."""
    size = "x".join(map(str, field.size))
    jump = "/".join("none" if j is None else str(j) for j in field.jump)
    return f"{size}, jump {jump}{', global' if field.is_global else ''} {sorted(field.flags) or ''}".strip()


def main(name: str, folder: str) -> None:
    """Run one probe, and print its observation as one line of JSON."""
    try:
        seen = PROBES[name][1](Path(folder))
        answer = {"holds": seen.holds, "observed": seen.observed}
    except SkippedError as reason:
        answer = {"skipped": str(reason)}
    except subprocess.TimeoutExpired as late:
        answer = {"skipped": f"a command had not ended after {late.timeout:.0f} s"}
    except Exception as error:
        text = " ".join(str(error).split())[:160]
        answer = {"holds": False, "observed": f"{type(error).__name__}: {text}"}
    print("\n" + json.dumps(answer))
