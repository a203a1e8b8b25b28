"""What the user names, `model.py:Name` or `package.module:name`, taken apart and imported."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rfcalc.command.blame import at_line, printed, short_name
from rfcalc.command.foreign import beside, foreign
from rfcalc.command.importing import OWN_NAME, importing
from rfcalc.command.notebook import read_notebook
from rfcalc.errors import LoadError, wording

__all__ = ["ONNX", "Target", "import_target", "importable", "line_of"]

ONNX = ".onnx"
MAX_SOURCE = 64 * 2**20
"""Bytes of the largest file that is taken for source text."""


@dataclass(frozen=True)
class Target:
    """What the user typed, taken apart: a file or a dotted module, and a name in it ("" for none)."""

    text: str
    path: Path | None
    module: str
    name: str
    root: Path | None = None

    @classmethod
    def parse(cls, text: str, root: Path | None = None) -> Target:
        """Take `model.py:Name` or `package.module:name` apart.

        Args:
            text: What the user typed, or what a table of pyproject.toml says.
            root: Folder that paths and modules are looked for in; None: the current one.

        Raises:
            LoadError: There is no such file, or the text names neither a file nor a module.
        """
        place, name = _split_name(text)
        if "\0" in place or not place.strip():
            raise LoadError(f"{text!r} names nothing; write model.py, model.py:Name or package.module:name")
        path = root / place if root else Path(place)
        try:
            if path.suffix in (".py", ".ipynb") or os.path.lexists(path):
                return cls(text, _checked_file(path), "", name, root)
        except OSError as error:
            raise LoadError(f"{path}: {error.strerror or error}") from error
        if os.sep in place or (path.suffix and not _is_dotted(place)):
            raise LoadError(f"{place}: no such file{beside(path)}")
        if not _is_dotted(place):
            raise LoadError(
                f"{text!r} is neither a Python file nor a module; "
                "write model.py, model.py:Name or package.module:name"
            )
        if f".{place.rpartition('.')[2]}" in _FILE_SUFFIXES:
            raise LoadError(f"{place}: no such file{beside(path)}")
        return cls(text, None, place, name, root)

    @property
    def folder(self) -> Path:
        """The folder that is importable while loading, and where the search for a budget starts."""
        return self.path.parent if self.path else self.root or Path.cwd()

    @property
    def place(self) -> str:
        """The target without its name, as messages show it."""
        return self.text[: -len(self.name) - 1] if self.name else self.text


_FILE_SUFFIXES = (".pt", ".pth", ".onnx", ".safetensors", ".h5", ".keras", ".ckpt", ".pkl", ".yaml", ".json")


def _is_dotted(place: str) -> bool:
    return all(part.isidentifier() for part in place.split("."))


def _split_name(text: str) -> tuple[str, str]:
    place, colon, name = text.rpartition(":")
    if colon and place and _is_dotted(name):
        return place, name
    return text, ""


def _checked_file(path: Path) -> Path:
    """Return the whole path of a file of source text.

    Raises:
        LoadError: It is a folder, a pipe, too large, or no Python file; the message names what could be.
    """
    if path.is_dir():
        for inside in (path / "best" / "model.py", path / "model.py"):
            if inside.is_file():  # what a search leaves: the winner as a file of its own
                return inside.resolve()
        raise LoadError(f"{path} is a folder; {_in_folder(path)}")
    if not path.exists():
        where = f" (a link to {path.readlink()}, which is not there)" if path.is_symlink() else ""
        raise LoadError(f"{path}: no such file{where}{beside(path)}")
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


@contextmanager
def importable(target: Target) -> Iterator[None]:
    """Make the target's folder importable; a file target leaves nothing behind (see `importing`)."""
    with ExitStack() as stack:
        stack.enter_context(importing(target.folder.resolve(), forget=target.path is not None))
        if target.path and (package := _package(target.path)):
            stack.enter_context(importing(package[0], forget=True))
        yield


def _package(path: Path) -> tuple[Path, str] | None:
    """Return the folder above the package of a file with relative imports, and its dotted name."""
    if path.suffix != ".py":
        return None
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    level = max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)
    if not level:
        return None
    top, parts = path.parent, [path.stem]
    while (top / "__init__.py").is_file() or len(parts) <= level:
        parts.insert(0, top.name)
        top = top.parent
    return (top, ".".join(parts)) if all(part.isidentifier() for part in parts) else None


def import_target(target: Target) -> ModuleType:
    """Run the file, or import the module.

    Raises:
        LoadError: It exits, raises, or is no valid Python; the message names the line.
    """
    try:
        if target.path is None:
            return importlib.import_module(target.module)
        return _run_notebook(target.path) if target.path.suffix == ".ipynb" else _run_file(target.path)
    except LoadError:
        raise
    except SystemExit as error:
        raise LoadError(
            f"{target.place} exits while it loads (sys.exit({printed(error.code)}){line_of(error, target)}); "
            "put what runs as a script under if __name__ == '__main__':"
        ) from error
    except SyntaxError as error:
        place = short_name(error.filename) or target.place
        line = f", line {error.lineno}" if error.lineno else ""
        shown = f": {error.text.strip()}" if error.text else ""
        raise LoadError(f"{place}{line}: syntax error: {error.msg}{shown}") from error
    except ImportError as error:
        raise LoadError(
            f"{target.place} does not import{line_of(error, target)}: {_text(error)}"
            f"{_import_hint(error, target)}"
        ) from error
    except RecursionError as error:
        raise LoadError(
            f"{target.place} recurses too deep while it loads{line_of(error, target)} "
            f"(the limit is {sys.getrecursionlimit()}): {wording(error)}"
        ) from error
    except Exception as error:
        raise LoadError(
            f"{target.place} raises while it loads{line_of(error, target)}: {wording(error)}"
        ) from error


def _text(error: BaseException) -> str:
    return wording(error).removeprefix(type(error).__name__).removeprefix(": ")


def _run_file(path: Path) -> ModuleType:
    package = _package(path)
    if package is not None:
        return importlib.import_module(package[1])
    name = (
        path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"{OWN_NAME}{path.stem}"
    )
    if path.stem in sys.stdlib_module_names or path.stem == "__main__":
        name = f"{OWN_NAME}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} is not a Python file that can be imported")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickling look the module up by its name while its body runs.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _run_notebook(path: Path) -> ModuleType:
    notebook = read_notebook(path)
    module = ModuleType(f"{OWN_NAME}{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    vars(module)[NOTE] = notebook.note
    for cell in notebook.code:
        exec(cell, vars(module))
    return module


NOTE = "__rfcalc_note__"
"""Where a module that was made of a notebook keeps what the report says of it."""


def line_of(error: BaseException, target: Target) -> str:
    """Return where in the user's own files an error comes from: " at model.py:12", "" for nowhere."""
    return at_line(error, target.folder.resolve())


def _import_hint(error: ImportError, target: Target) -> str:
    if "relative import" in wording(error) and target.path:
        return "; it has no package, so write the import without the leading dot"
    missing = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and missing:
        if missing == target.module.partition(".")[0]:
            return "; a module target is looked for in the current folder and among the installed packages"
        if target.path:
            return (
                f"; {missing} is not installed here, and lies neither beside {target.path.name} nor above it"
            )
    return ""
