"""Every network that has a name, and those that JSON files describe: what `rfcalc NAME` and train.py find.

`names` of `[tool.rfcalc]` in pyproject.toml names this module; rfcalc/command/names.py describes what it
needs. Torch is imported only where a network is built.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SpecError
from .presets import PRESETS
from .spec import NetSpec

_REFERENCE = "models.reference."
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Entry:
    """A network of this repository."""

    kind: str
    """"preset", "published network" or "spec"."""
    input_size: tuple[int, ...]
    """(channels, height, width) of an image."""
    spec: NetSpec | None = None
    target: str = ""
    """Where there is no spec: "package.module:function"."""

    def build(self, **arguments: Any) -> Any:
        """Return the network with fresh weights.

        Args:
            arguments: Of the function of a published network; a spec takes none.

        Raises:
            TypeError: There are others than those that it takes.
        """
        if self.spec is not None:
            if arguments:
                raise TypeError(f"a {self.kind} takes no arguments, but got {', '.join(arguments)}")
            from .net import build

            return build(self.spec)
        module, _, name = self.target.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function(**arguments)


def _published(target: str, input_size: tuple[int, int, int] = (3, 32, 32)) -> Entry:
    return Entry("published network", input_size, target=_REFERENCE + target)


PUBLISHED: dict[str, Entry] = {
    "cifar10_transpose": _published("cifar10_transpose:build_model"),
    "cifar10_dilated_blocks": _published("cifar10_dilated_blocks:build_model"),
    "resnet8": _published("resnet8:build_model"),
    "resnet20": _published("resnet20:build_model"),
    "densenet121_catdog": _published("densenet121_catdog:build_model", (3, 244, 244)),
    "resnet50_catdog": _published("resnet50_catdog:build_model", (3, 224, 224)),
    "resnet50_catdog_deep": _published("resnet50_catdog:build_deep_head", (3, 224, 224)),
}
"""The networks of models/reference, each with the input that it was published for."""

NETWORKS: dict[str, Entry] = {
    **{name: Entry("preset", spec.input_size, spec) for name, spec in PRESETS.items()},
    **PUBLISHED,
}
"""All names."""


def read(path: Path) -> Entry:
    """Return the network of a spec.json, or of a record that keeps a spec: run.json, or that of a trial.

    Raises:
        SpecError: The file cannot be read or has no spec; the text begins with its path.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None  # `NetSpec.read` words it
    if not isinstance(content, dict) or "spec" not in content:
        spec = NetSpec.read(path)
        return Entry("spec", spec.input_size, spec)
    if content["spec"] is None:
        raise SpecError(f"{path}: keeps no spec; name what built the network: {content.get('target')}")
    try:
        spec = NetSpec.from_json(content["spec"])
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from error
    return Entry("spec", spec.input_size, spec)


def is_own(root: Path | None) -> bool:
    """Return whether the names of a target are those of this repository.

    Args:
        root: Folder of the pyproject.toml whose `names` found it; None: nothing did.
    """
    return root is None or root == _ROOT


def spec_of(named: str, described: Path | None) -> NetSpec | None:
    """Return the spec of a target of rfcalc, None where it has none.

    Args:
        named: Its name in `NETWORKS`, "" for none.
        described: The JSON file that describes it.

    Raises:
        SpecError: As `read`.
    """
    if described is not None:
        return read(described).spec
    return NETWORKS[named].spec if named else None
