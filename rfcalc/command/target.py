"""What the user names, `model.py:Name` or `package.module:name`, taken apart and imported.

Importing runs the file. While it runs, its own folder comes first on `sys.path`, so that it can import its
neighbours; afterwards `sys.path` and `sys.modules` are as they were, so that the `blocks.py` beside one model
never stands in for the `blocks.py` beside the next.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rfcalc.errors import LoadError

_OWN_FOLDER = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Target:
    """What the user typed, taken apart: a file or a dotted module, and a name in it ("" for none)."""

    text: str
    path: Path | None
    module: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Take `model.py:Name` or `package.module:name` apart.

        Raises:
            LoadError: There is no such file, or the text names neither a file nor a module.
        """
        place, name = _split_name(text)
        path = Path(place)
        if path.suffix == ".py" or path.exists():
            return cls(text, _checked_file(path), "", name)
        if os.sep in place or path.suffix in (".pt", ".pth", ".onnx", ".ipynb", ".safetensors"):
            raise LoadError(f"{place}: {_why_no_file(path)}")
        if not all(part.isidentifier() for part in place.split(".")):
            raise LoadError(
                f"{text!r} is neither a Python file nor a module; "
                "write model.py, model.py:Name or package.module:name"
            )
        return cls(text, None, place, name)

    @property
    def folder(self) -> Path:
        """The folder that is importable while loading, and where the search for a budget starts."""
        return self.path.parent if self.path else Path.cwd()

    @property
    def place(self) -> str:
        """The target without its name, as messages show it."""
        return self.text[: -len(self.name) - 1] if self.name else self.text


def _split_name(text: str) -> tuple[str, str]:
    place, colon, name = text.rpartition(":")
    if colon and place and all(part.isidentifier() for part in name.split(".")):
        return place, name
    return text, ""


def _checked_file(path: Path) -> Path:
    if path.is_dir():
        raise LoadError(f"{path} is a folder; name a file in it, such as {path / 'model.py'}")
    if not path.is_file():
        raise LoadError(f"{path}: {_why_no_file(path)}")
    if path.suffix != ".py":
        raise LoadError(f"{path}: {_why_no_file(path)}")
    return path.resolve()


def _why_no_file(path: Path) -> str:
    if path.is_file():
        return (
            "not a Python file; rfcalc reads the code that builds the network, so name the .py file that does"
        )
    beside = sorted(found.name for found in path.parent.glob("*.py")) if path.parent.is_dir() else []
    hint = f"; in that folder: {', '.join(beside[:5])}" if beside else ""
    return f"no such file{hint}"


@contextmanager
def importable(target: Target) -> Iterator[None]:
    """Put the target's folder first on the import path.

    On leaving, what a file target imported from its folder is forgotten; modules of the same names from
    elsewhere are set aside meanwhile. Installed packages and the standard library are never touched, even
    where the folder holds a file of their name. A module target is a plain import and stays loaded.
    """
    folder = target.folder.resolve()
    neighbours = _neighbours(folder) if target.path else frozenset()
    aside = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in neighbours and _hides(name, folder)
    }
    for name in aside:
        del sys.modules[name]
    path, before = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        if target.path:
            for name in [name for name in sys.modules if name not in before and _lives_in(name, folder)]:
                del sys.modules[name]
        sys.modules.update(aside)


def _neighbours(folder: Path) -> frozenset[str]:
    """Names that the folder's files and folders can be imported by."""
    return frozenset(found.stem if found.suffix == ".py" else found.name for found in folder.iterdir())


def _hides(name: str, folder: Path) -> bool:
    """Whether the loaded module `name`, of a neighbour's name, would stand in for that neighbour."""
    top = name.partition(".")[0]
    if top in ("__main__", "rfcalc") or top in sys.stdlib_module_names or _lives_in(name, folder):
        return False
    return not any("site-packages" in place or "dist-packages" in place for place in _places(top))


def _lives_in(name: str, folder: Path) -> bool:
    """Whether the module, or the package it is part of, stands directly in the folder."""
    top = name.partition(".")[0]
    if top in ("__main__", "rfcalc"):
        return False
    homes = {str(folder / f"{top}.py"), str(folder / top)}
    return any(place in homes for place in _places(top))


def _places(top: str) -> list[str]:
    module = sys.modules.get(top)
    places = list(getattr(module, "__path__", None) or [])
    file = getattr(module, "__file__", None)
    return [str(Path(place).resolve()) for place in ([file, *places] if file else places)]


def import_target(target: Target) -> ModuleType:
    """Run the file, or import the module.

    Raises:
        LoadError: It exits, raises, or is no valid Python; the message names the line.
    """
    try:
        return _run_file(target.path) if target.path else importlib.import_module(target.module)
    except SystemExit as error:
        raise LoadError(
            f"{target.place} exits while it loads (sys.exit({error.code!r}){line_of(error, target)}); "
            "put what runs as a script under if __name__ == '__main__':"
        ) from error
    except SyntaxError as error:
        place = _short(error.filename) or target.place
        line = f", line {error.lineno}" if error.lineno else ""
        shown = f": {error.text.strip()}" if error.text else ""
        raise LoadError(f"{place}{line}: syntax error: {error.msg}{shown}") from error
    except ImportError as error:
        raise LoadError(
            f"{target.place} does not import{line_of(error, target)}: {error}{_import_hint(error, target)}"
        ) from error
    except Exception as error:
        raise LoadError(
            f"{target.place} raises while it loads{line_of(error, target)}: {said(error)}"
        ) from error


def _run_file(path: Path) -> ModuleType:
    name = (
        path.stem
        if path.stem.isidentifier() and path.stem not in sys.modules
        else f"_rfcalc_target_{path.stem}"
    )
    if path.stem in sys.stdlib_module_names:
        name = f"_rfcalc_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} is not a Python file that can be imported")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickling look the module up by its name while its body runs.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def said(error: BaseException) -> str:
    """The kind of an exception and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def line_of(error: BaseException, target: Target) -> str:
    """Where in the user's own files the error comes from: the innermost frame below the target's folder."""
    folder = str(target.folder.resolve())
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(folder) and "site-packages" not in file.parts and file.parent != _OWN_FOLDER:
            return f" at {_short(frame.filename)}:{frame.lineno}"
    return ""


def _short(file: str | None) -> str:
    if not file:
        return ""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _import_hint(error: ImportError, target: Target) -> str:
    if "relative import" in str(error) and target.path:
        top = target.path.parent
        parts = [target.path.stem]
        while (top / "__init__.py").is_file():
            parts.insert(0, top.name)
            top = top.parent
        if len(parts) > 1:
            return f"; it is part of a package, so run in {top}: python -m rfcalc {'.'.join(parts)}"
        return "; it has no package, so write the import without the leading dot"
    missing = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and missing == target.module.partition(".")[0]:
        return "; a module target is looked for in the current folder and among the installed packages"
    return ""
