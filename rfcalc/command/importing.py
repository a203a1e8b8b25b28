"""The import path while a target is loaded: its own folder first, the folders above it last.

Afterwards `sys.path`, `sys.modules` and the current folder are as they were, so that the `blocks.py` beside
one model never stands in for the `blocks.py` beside the next.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

__all__ = ["OWN_NAME", "AncestorFinder", "hides", "importing"]

OWN_NAME = "_rfcalc_target_"
"""Begins the name of a module whose file has a name that cannot be imported, or that is taken."""

_DEPTH = 6
"""How many folders above a file are tried for a package that it imports."""


class AncestorFinder:
    """Finds what nobody else has found in the folders above a file: `src.blocks` of `project/src/net.py`.

    An import that says `src.blocks` expects to be run in the folder that holds `src`. Asked last, so that it
    never stands in for anything that can be imported otherwise.
    """

    def __init__(self, folder: Path) -> None:
        self.folders = [str(above) for above in list(folder.parents)[:_DEPTH]]
        self.found: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a top-level module, as `importlib.abc.MetaPathFinder` has it."""
        if path is not None:
            return None
        for folder in self.folders:
            spec = importlib.machinery.PathFinder.find_spec(name, [folder])
            # A mere folder without Python files is no package that anybody means.
            if spec is not None and (spec.origin or _holds_python(spec.submodule_search_locations)):
                self.found.add(name)
                return spec
        return None


def _holds_python(places: Sequence[str] | None) -> bool:
    return any(any(Path(place).glob("*.py")) or any(Path(place).glob("*/*.py")) for place in places or ())


@contextmanager
def importing(folder: Path, *, forget: bool) -> Iterator[None]:
    """Put a folder first on the import path.

    Args:
        folder: The folder.
        forget: On leaving, forget what was imported from there and from above it; modules of the same names
            from elsewhere are set aside meanwhile. Installed packages and the standard library are never
            touched, even where the folder holds a file of their name.
    """
    neighbours = _neighbours(folder) if forget else frozenset()
    aside = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in neighbours and hides(name, folder)
    }
    for name in aside:
        del sys.modules[name]
    path, before, place = list(sys.path), set(sys.modules), _current()
    above = AncestorFinder(folder)
    sys.path.insert(0, str(folder))
    sys.meta_path.append(above)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        with suppress(ValueError):
            sys.meta_path.remove(above)
        if place is not None:
            with suppress(OSError):
                os.chdir(place)
        if forget:
            # All are looked at before the first goes: a package tells where its parts are from.
            for name in [n for n in sys.modules if n not in before and _is_targets(n, folder, above.found)]:
                del sys.modules[name]
        sys.modules.update(aside)


def _current() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _neighbours(folder: Path) -> frozenset[str]:
    """Names that the folder's files and folders can be imported by."""
    return frozenset(found.stem if found.suffix == ".py" else found.name for found in folder.iterdir())


def hides(name: str, folder: Path) -> bool:
    """Whether the loaded module `name`, of a neighbour's name, would stand in for that neighbour."""
    top = name.partition(".")[0]
    if top in ("__main__", "rfcalc") or top in sys.stdlib_module_names or _lives_in(name, folder):
        return False
    return not any("site-packages" in place or "dist-packages" in place for place in _places(top))


def _is_targets(name: str, folder: Path, found: set[str]) -> bool:
    """Whether a module came with the target: its own, from its folder, or found above it."""
    return name.startswith(OWN_NAME) or name.partition(".")[0] in found or _lives_in(name, folder)


def _lives_in(name: str, folder: Path) -> bool:
    """Whether the module, or the package it is part of, lies directly in the folder."""
    top = name.partition(".")[0]
    if top in ("__main__", "rfcalc"):
        return False
    homes = {str(folder / f"{top}.py"), str(folder / top)}
    return any(place in homes for place in _places(top))


def _places(top: str) -> list[str]:
    module = sys.modules.get(top)
    # vars() and not getattr(): a module may have a __getattr__ of its own, and one that raises.
    facts = vars(module) if isinstance(module, ModuleType) else {}
    places = [str(place) for place in facts.get("__path__") or []]
    file = facts.get("__file__")
    return [str(Path(place).resolve()) for place in ([str(file), *places] if file else places)]
