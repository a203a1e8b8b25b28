"""What the user names, `model.py:Name` or `package.module:name`, taken apart and imported."""

from __future__ import annotations

import importlib.machinery
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from rfcalc.command.foreign import beside, foreign
from rfcalc.command.importing import AncestorFinder
from rfcalc.command.names import Catalogue, catalogue_near, did_you_mean
from rfcalc.errors import LoadError

__all__ = ["JSON", "ONNX", "Target"]

ONNX = ".onnx"
JSON = ".json"
MAX_SOURCE = 64 * 2**20
"""Bytes of the largest file that is taken for source text."""


@dataclass(frozen=True)
class Target:
    """What the user typed, taken apart: the one grammar of rfcalc and of all commands.

        model.py  model.py:Name  notebook.ipynb:Name     a file that is run, and a name in it
        package.module:name                              what can be imported
        network.onnx  spec.json  run.json                a file of data, of which nothing is run
        runs/train/NAME  runs/search/NAME                a run folder; of a search, its winner
        tiny  resnet20                                   a network that has a name (`rfcalc.command.names`)

    each with the size of its input at the end, if wanted: `resnet20@3x64x64`. A file or folder goes before a
    name, and a name before a module.

    Attributes:
        text: All of it.
        path: The file; None for a module or a name.
        module: The dotted module; "" for the others.
        name: What is asked for in the file or module, "" for none.
        root: Folder that paths and modules are looked for in; None: the current one.
        named: The network's name, "" for none.
        catalogue: What finds it by its name, or reads the JSON file.
        described: The JSON file that describes the network: itself, or the record in a run folder.
        given_size: What follows the @, such as (3, 64, 64).
        own_size: Size of one image that the network was made for, where that is known.
    """

    text: str
    path: Path | None
    module: str
    name: str
    root: Path | None = None
    named: str = ""
    catalogue: Catalogue | None = None
    described: Path | None = None
    given_size: tuple[int, ...] | None = None
    own_size: tuple[int, ...] | None = None

    @classmethod
    def parse(cls, text: str, root: Path | None = None) -> Target:
        """Take what the user typed apart; no file that it names is run.

        For a name, a JSON file or a run folder, the module is imported that a pyproject.toml gives.

        Args:
            text: What the user typed, or what a table of pyproject.toml lists.
            root: Folder that paths and modules are looked for in; None: the current one.

        Raises:
            LoadError: There is no such file, or the text names neither a file, a network nor a module.
            InputError: What follows the @ is no size.
        """
        if "\0" in text or not text.strip():
            raise LoadError(f"{text!r} names nothing; write model.py, model.py:Name or package.module:name")
        path = root / text if root else Path(text)
        try:
            whole, size = _split_size(text, path)
            place, name = _split_name(whole)
            path = root / place if root else Path(place)
            if path.suffix in (".py", ".ipynb") or os.path.lexists(path):
                return _of_file(cls(text, path, "", name, root, given_size=size))
        except OSError as error:
            raise LoadError(f"{path}: {error.strerror or error}") from error
        if not name and _NAME.fullmatch(place):
            catalogue = catalogue_near(root or Path.cwd())
            entry = catalogue.networks().get(place) if catalogue is not None else None
            if entry is not None and catalogue is not None:
                own = tuple(entry.input_size)
                return cls(text, None, "", "", root, place, catalogue, given_size=size, own_size=own)
        if (wrong := _no_module(text, place, name, path)) is not None:
            raise LoadError(f"{wrong}{did_you_mean(place, root or Path.cwd()) or _otherwise(place, path)}")
        return cls(text, None, place, name, root, given_size=size)

    @property
    def folder(self) -> Path:
        """The folder that is importable while loading, and where the search for a budget starts."""
        return self.path.parent if self.path else self.root or Path.cwd()

    @property
    def place(self) -> str:
        """The target without its name and size, as messages show it."""
        whole = self.text.rpartition("@")[0] if self.given_size else self.text
        return whole[: -len(self.name) - 1] if self.name else whole

    @property
    def input_size(self) -> tuple[int, ...] | None:
        """Size of one image: the given one, else the network's own, None where neither is known."""
        return self.given_size or self.own_size


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SOURCES = ("best/model.py", "model.py")
_RECORDS = ("best/run.json", "run.json", "best/spec.json", "spec.json")
"""Files of a run folder that may hold the network's spec; the winner of a search is in best/."""


def _split_size(text: str, path: Path) -> tuple[str, tuple[int, ...] | None]:
    """Return the text without what follows its @, and that as a size; a file may have an @ in its name."""
    whole, at, size = text.rpartition("@")
    if not at or not whole or os.sep in size or "." in size or os.path.lexists(path):
        return text, None
    from rfcalc.command.arguments import parse_size

    return whole, parse_size(size)


def _of_file(target: Target) -> Target:
    """Return the target of a path with its file, and of a run folder or JSON file with what that holds.

    Raises:
        LoadError: It is no file of a network.
    """
    assert target.path is not None
    path = target.path
    if path.suffix != JSON and not path.is_dir():
        return replace(target, path=_checked_file(path, root=target.root))
    catalogue = catalogue_near(target.root or Path.cwd())
    if path.is_dir():
        described, size, why = _described(path, catalogue)
        if why and not any((path / name).is_file() for name in _SOURCES):
            raise LoadError(why)
        return replace(
            target,
            path=_checked_file(path, described),
            catalogue=catalogue,
            described=described,
            own_size=size,
        )
    if catalogue is None or not path.is_file():
        return replace(target, path=_checked_file(path, root=target.root))
    size = tuple(catalogue.read(path).input_size)
    return replace(target, path=path.resolve(), catalogue=catalogue, described=path.resolve(), own_size=size)


def _described(folder: Path, catalogue: Catalogue | None) -> tuple[Path | None, tuple[int, ...] | None, str]:
    """Return the first file of a run folder that describes its network, its input size, or why none."""
    wrong = ""
    if catalogue is None:
        return None, None, ""
    for name in _RECORDS:
        path = folder / name
        if path.is_file():
            try:
                return path.resolve(), tuple(catalogue.read(path).input_size), ""
            except LoadError as error:  # a network that no spec describes; its source may be there
                wrong = wrong or str(error)
    return None, None, wrong


def _no_module(text: str, place: str, name: str, path: Path) -> str | None:
    """Return what is wrong with a text that is no file and no name, None where it may be a module."""
    dotted = _is_dotted(place)
    if os.sep in place or (path.suffix and not dotted) or f".{place.rpartition('.')[2]}" in _FILE_SUFFIXES:
        return f"{place}: no such file"
    if not dotted:
        return f"{text!r} is neither a Python file nor a module"
    if not name and "." not in place and not _is_importable(place, path.parent):
        return f"{place}: no file, run folder, network or module has this name"
    return None


def _otherwise(place: str, path: Path) -> str:
    """Return the end of an error about a text that nothing is near to."""
    if os.sep in place or path.suffix:
        return beside(path)
    catalogue = catalogue_near(path.parent) if _NAME.fullmatch(place) else None
    known = f"; networks with a name: {', '.join(catalogue.networks())}" if catalogue else ""
    return f"; write model.py, model.py:Name or package.module:name{known}"


def _is_importable(module: str, folder: Path) -> bool:
    """Whether there is a module of this name; nothing is run."""
    if module in sys.modules or module in sys.builtin_module_names:
        return True
    try:
        finders = [finder.find_spec(module, None) for finder in sys.meta_path if hasattr(finder, "find_spec")]
    except (ImportError, ValueError):
        return True  # its own error comes when it is imported
    if any(finders) or importlib.machinery.PathFinder.find_spec(module, [str(folder)]) is not None:
        return True
    return AncestorFinder(folder.resolve()).find_spec(module, None) is not None


_FILE_SUFFIXES = (".pt", ".pth", ".onnx", ".safetensors", ".h5", ".keras", ".ckpt", ".pkl", ".yaml", ".json")


def _is_dotted(place: str) -> bool:
    return all(part.isidentifier() for part in place.split("."))


def _split_name(text: str) -> tuple[str, str]:
    place, colon, name = text.rpartition(":")
    if colon and place and _is_dotted(name):
        return place, name
    return text, ""


def _checked_file(path: Path, described: Path | None = None, root: Path | None = None) -> Path:
    """Return the whole path of a file of source text, of a folder the one in it.

    Args:
        path: The file or folder.
        root: Folder that the path was given from; None: the current one.
        described: What describes the network of a folder that has no source text.

    Raises:
        LoadError: It is a folder, a pipe, too large, or no Python file; the message names what could be.
    """
    if path.is_dir():
        for name in _SOURCES:
            if (path / name).is_file():  # what a search leaves: the winner as a file of its own
                return (path / name).resolve()
        if described is not None:
            return described
        raise LoadError(f"{path} is a folder; {_in_folder(path)}")
    if not path.exists():
        where = f" (a link to {path.readlink()}, which is not there)" if path.is_symlink() else ""
        near = "" if where else did_you_mean(_from(path, root), root or Path())
        raise LoadError(f"{path}: no such file{where}{near or beside(path)}")
    if not path.is_file():
        raise LoadError(f"{path} is a pipe or a device; name a Python file")
    if path.suffix == ONNX:  # its reader has bounds of its own
        return path.resolve()
    if path.suffix not in (".py", ".ipynb"):
        raise LoadError(f"{path} is {foreign(path)}")
    if path.stat().st_size > MAX_SOURCE:
        raise LoadError(
            f"{path} has {path.stat().st_size:,} bytes, more than the {MAX_SOURCE:,} of any source text"
        )
    return path.resolve()


def _from(path: Path, root: Path | None) -> str:
    return str(path.relative_to(root)) if root is not None and path.is_relative_to(root) else str(path)


def _in_folder(folder: Path) -> str:
    """Return which file of a folder to name: those that are there, at the top or one below."""
    try:
        found = sorted([*folder.glob("*.py"), *folder.glob("*.ipynb"), *folder.glob("*/model.py")])
    except OSError:
        found = []
    files = [str(path) for path in found if path.is_file() and path.name != "__init__.py"][:5]
    if files:
        return f"name a file in it, such as {' or '.join(files)}"
    return "there is no Python file in it; name the file that builds the network"
