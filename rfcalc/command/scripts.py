"""Models that a script imports inside of a function, found by reading it: which command analyses them."""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path

__all__ = ["models_imported"]


def models_imported(script: Path, builders: Collection[str]) -> list[str]:
    """Return "net.py:Net" for each class or building function that a script imports, wherever it does.

    Args:
        script: The file; it is read and not run.
        builders: Names of functions that build models.
    """
    tree = _parsed(script)
    found = []
    for node in ast.walk(tree) if tree else ():
        file = _file_of(node, script.parent) if isinstance(node, ast.ImportFrom) and node.module else None
        if file is not None and isinstance(node, ast.ImportFrom):
            known = {*_classes(file), *builders}
            found += [f"{file}:{alias.name}" for alias in node.names if alias.name in known]
    return list(dict.fromkeys(found))


def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _file_of(node: ast.ImportFrom, folder: Path) -> Path | None:
    """Return the file beside or above a script that an import names, None where there is none."""
    parts = (node.module or "").split(".")
    for _ in range(max(node.level - 1, 0)):
        folder = folder.parent
    for place in (folder, *([] if node.level else list(folder.parents)[:3])):
        for path in (place.joinpath(*parts).with_suffix(".py"), place.joinpath(*parts, "__init__.py")):
            if path.is_file():
                return path
    return None


def _classes(file: Path) -> set[str]:
    """Return the classes that a file defines, with a base of some kind: what may be a network."""
    tree = _parsed(file)
    return (
        {node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.bases} if tree else set()
    )
