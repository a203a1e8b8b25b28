"""Networks that have names, and JSON files that describe one: the catalogue of an application.

rfcalc itself knows no such network. `names = "package.module"` under `[tool.rfcalc]` of a pyproject.toml
names a module beside that file, which has

    NETWORKS: Mapping[str, Entry]     "resnet20" to its entry
    def read(path: Path) -> Entry     what a JSON file describes; ValueError with one line: nothing

The nearest pyproject.toml with that key counts, else that of the checkout which rfcalc itself lies in. The
module is imported only where a name, a JSON file or a run folder is given; it should import torch in
`build` alone.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from rfcalc.analysis.settings import find_names
from rfcalc.command.importing import hides, importing
from rfcalc.errors import LoadError, RfcalcError, wording

__all__ = ["Catalogue", "Entry", "catalogue_near", "did_you_mean", "nearest_run"]

_CHECKOUT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"[A-Za-z][\w-]*")
_SUFFIXES = (".py", ".ipynb", ".onnx", ".json")
_RECORDS = ("run.json", "search.json")
"""What a run folder holds."""


class Entry(Protocol):
    """A network of an application."""

    @property
    def kind(self) -> str:
        """What messages call it: "preset"."""

    @property
    def input_size(self) -> tuple[int, ...]:
        """Size of one image: (channels, height, width)."""

    def build(self, **arguments: Any) -> Any:
        """Return the network with fresh weights, an `nn.Module`."""


@dataclass(frozen=True)
class Catalogue:
    """The module that a pyproject.toml names.

    Attributes:
        module: Its dotted name.
        root: Folder of the pyproject.toml, from which it is imported.
    """

    module: str
    root: Path

    def networks(self) -> Mapping[str, Entry]:
        """Return the networks by name.

        Raises:
            LoadError: The module does not import, or has no such table.
        """
        with importing(self.root, forget=True):
            found: Mapping[str, Entry] = self._part("NETWORKS")
        return found

    def read(self, path: Path) -> Entry:
        """Return what a JSON file describes.

        Raises:
            LoadError: The module does not import, or the file describes no network.
        """
        with importing(self.root, forget=True):
            return self._read(path)

    def build(self, given: str | Path, arguments: Mapping[str, Any]) -> Any:
        """Build a network by its name, or the one that a JSON file describes.

        Raises:
            LoadError: As above, or its own code raises.
        """
        # What a network imports while it runs is found afterwards, too; unless somebody else's module of the
        # same name is loaded, which is then set aside meanwhile.
        top = self.module.partition(".")[0]
        with importing(self.root, forget=top in sys.modules and hides(top, self.root)):
            entry = self._read(given) if isinstance(given, Path) else self._part("NETWORKS")[given]
            try:
                return entry.build(**arguments)
            except Exception as error:
                raise LoadError(f"{given} cannot be built: {wording(error)}") from error

    def _read(self, path: Path) -> Entry:
        read = self._part("read")
        try:
            entry: Entry = read(path)
        except ValueError as error:
            raise LoadError(str(error)) from error
        return entry

    def _part(self, name: str) -> Any:
        try:
            module: ModuleType = importlib.import_module(self.module)
            return getattr(module, name)
        except Exception as error:
            raise LoadError(
                f'names = "{self.module}" of {self.root / "pyproject.toml"} is no module of named networks: '
                f"{wording(error)}"
            ) from error


def catalogue_near(start: Path) -> Catalogue | None:
    """Return the catalogue of the nearest pyproject.toml in `start` or above it, else of rfcalc's checkout.

    Raises:
        BudgetError: A pyproject.toml on the way cannot be read.
    """
    found = find_names(start) or find_names(_CHECKOUT, above=False)
    return None if found is None else Catalogue(*found)


def did_you_mean(text: str, folder: Path) -> str:
    """Return "; did you mean resnet20 (published network)?", the nearest of everything that could be named.

    Args:
        text: What the user typed.
        folder: Where files, `runs/` with run folders, and the catalogue are looked for.

    Returns:
        The end of an error; "" where nothing is near.
    """
    path = folder / text
    known = dict.fromkeys(_beside(path, text, lambda each: each.suffix in _SUFFIXES), "")
    known |= _runs(text, folder)
    # A misspelt file is no reason to import a module that some pyproject.toml gives.
    with suppress(RfcalcError):
        if _NAME.fullmatch(text) and (catalogue := catalogue_near(folder)) is not None:
            known |= {name: entry.kind for name, entry in catalogue.networks().items()}
    near = _nearest(text, known)
    if not near and not path.suffix:
        modules = dict.fromkeys(importlib.metadata.packages_distributions(), "package")
        known, near = modules, _nearest(text.partition(":")[0].partition(".")[0], modules)
    if not near:
        return ""
    kind = f" ({known[near]})" if known[near] else ""
    return f"; did you mean {near}{kind}?"


def nearest_run(text: str, folder: Path) -> str:
    """Return "; did you mean runs/train/NAME?", the run folder nearest to a text; "" where none is near.

    Args:
        text: What the user typed.
        folder: Where it is looked for, and where `runs/` is.
    """
    near = _nearest(text, _runs(text, folder))
    return f"; did you mean {near}?" if near else ""


def _runs(text: str, folder: Path) -> dict[str, str]:
    """Return the run folders that a user may have named: those of `runs/`, and those beside a path."""
    found: list[str] = []
    # What cannot be read has an error of its own where it is what the user names.
    with suppress(OSError):
        found = [str(each.relative_to(folder)) for each in folder.glob("runs/*/*")]
    found += _beside(folder / text, text, lambda each: any((each / name).is_file() for name in _RECORDS))
    return dict.fromkeys(found, "run folder")


def _beside(path: Path, text: str, fits: Callable[[Path], bool]) -> list[str]:
    """Return what fits beside a path as a user types it; in the nearest folder, where it has none."""
    place, folder = text.removesuffix(path.name), path.parent
    with suppress(OSError):
        if not folder.is_dir():
            around = [each.name for each in folder.parent.iterdir() if each.is_dir()]
            close = difflib.get_close_matches(folder.name, around, n=1, cutoff=0.7)
            if not close:
                return []
            place = f"{place.rstrip('/').removesuffix(folder.name)}{close[0]}/"
            folder = folder.with_name(close[0])
        return [f"{place}{each.name}" for each in folder.iterdir() if fits(each)]
    return []


def _nearest(text: str, known: Mapping[str, str]) -> str:
    """Return the nearest word, compared as a whole and by its last part: a run by its name; "" for none."""
    last = {word.rpartition("/")[2]: word for word in known}
    words = {**last, **{word: word for word in known}}
    close = difflib.get_close_matches(text, words, n=1, cutoff=0.7)
    return words[close[0]] if close else ""
