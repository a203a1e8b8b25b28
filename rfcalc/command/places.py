"""Where the class of a layer is defined: what an annotation in a pull request points at."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rfcalc.command.target import Target
from rfcalc.render.report import Place

if TYPE_CHECKING:
    from torch import nn

    from rfcalc.analysis.budget import Verdict
    from rfcalc.analysis.result import Analysis

__all__ = ["places_of"]


def places_of(
    model: nn.Module, analysis: Analysis, verdict: Verdict | None, target: Target
) -> dict[str, Place]:
    """Return the place of the network, as "", and of each layer that a limit names.

    A layer of PyTorch itself has the place of the innermost module around it whose class is the user's.
    """
    start = str(target.path) if target.path and target.path.suffix == ".py" else ""
    whole = _place(type(model)) or (Place(_short(start), 1) if start else None)
    found = {"": whole} if whole else {}
    paths = {row.name: analysis.graph.nodes[row.node].path for row in analysis.rows}
    for limit in verdict.limits if verdict else ():
        place = _around(model, paths.get(limit.layer, "")) or whole
        if place is not None:
            found[limit.layer] = place
    return found


def _around(model: nn.Module, path: str) -> Place | None:
    while path:
        try:
            place = _place(type(model.get_submodule(path)))
        except AttributeError:  # a row of an op in no module
            place = None
        if place is not None:
            return place
        path = path.rpartition(".")[0]
    return None


def _place(cls: type) -> Place | None:
    try:
        file = inspect.getsourcefile(cls)
        line = inspect.getsourcelines(cls)[1]
    except (OSError, TypeError, SyntaxError):
        return None
    if file is None or not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts):
        return None
    return Place(_short(file), max(line, 1))


def _short(file: str) -> str:
    """Return a file as the reader names it: relative to the checkout that it runs in."""
    path = Path(file).resolve()
    for root in (os.environ.get("GITHUB_WORKSPACE"), Path.cwd()):
        if root and path.is_relative_to(Path(root).resolve()):
            return path.relative_to(Path(root).resolve()).as_posix()
    return path.as_posix()
