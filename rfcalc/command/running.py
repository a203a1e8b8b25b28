"""A target is run: the file or module that it names, with its folder on the import path."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

from rfcalc.command.blame import at_line, printed, short_name
from rfcalc.command.importing import OWN_NAME, importing
from rfcalc.command.names import did_you_mean
from rfcalc.command.notebook import read_notebook
from rfcalc.command.target import Target
from rfcalc.errors import LoadError, wording

__all__ = ["NOTE", "import_target", "importable", "line_of"]


@contextmanager
def importable(target: Target) -> Iterator[None]:
    """Make the target's folder importable; a file target leaves nothing behind (see `importing`)."""
    with ExitStack() as stack:
        stack.enter_context(importing(target.folder.resolve(), forget=target.path is not None))
        if target.named and target.catalogue:  # its network may import while it runs
            stack.enter_context(importing(target.catalogue.root, forget=False))
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
            looked = "; a module target is looked for in the current folder and among the installed packages"
            return did_you_mean(missing, target.folder) or looked
        if target.path:
            return (
                f"; {missing} is not installed here, and lies neither beside {target.path.name} nor above it"
            )
    return ""
