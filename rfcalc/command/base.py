"""The base that `--against` names: a git ref in a temporary worktree, or a JSON file of an earlier call."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rfcalc.analysis.growth import Base, Figures
from rfcalc.command.checks import Check
from rfcalc.command.target import Target
from rfcalc.errors import RfcalcError, UsageError, one_line

__all__ = ["OpenBase", "opened"]

Analysed = Callable[[Check, Target], Figures]
"""Analyses a check at a target that may lie elsewhere than its own."""


@dataclass(frozen=True)
class OpenBase:
    """A base that can be asked for the figures of a network."""

    label: str
    ask: Callable[[Check], Figures | None]

    def of(self, check: Check) -> Base:
        """Return the base of one network.

        Raises:
            UsageError: The base has it and it cannot be analysed there; the message names the base.
        """
        try:
            return Base(self.label, self.ask(check))
        except RfcalcError as error:
            raise UsageError(f"the base {self.label} cannot be analysed: {error}") from error


@contextmanager
def opened(against: str, folder: Path, analysed: Analysed) -> Iterator[OpenBase]:
    """Open a base for a while.

    Args:
        against: A git ref, or a file.
        folder: Any folder of the repository.
        analysed: Analyses a network in the worktree.

    Raises:
        UsageError: It is neither, or cannot be read; git is missing.
    """
    path = Path(against)
    if path.suffix == ".json" or path.is_file():
        yield _of_json(path)
        return
    root = Path(_git(folder, "rev-parse", "--show-toplevel", against=against))
    commit = _commit(root, against)
    with tempfile.TemporaryDirectory(prefix="rfcalc-base-", ignore_cleanup_errors=True) as place:
        tree = Path(place).resolve() / "tree"
        # No hooks and no large files: only the code is wanted.
        _git(
            root,
            *("-c", f"core.hooksPath={os.devnull}"),
            *("worktree", "add", "--detach", "--quiet", str(tree), commit),
            against=against,
        )
        label = f"{against} ({commit[:7]})"
        try:
            yield OpenBase(label, lambda check: _in_tree(check, root, tree, analysed))
        finally:
            shutil.rmtree(tree, ignore_errors=True)
            _git(root, "worktree", "prune", against=against)


def _commit(root: Path, against: str) -> str:
    try:
        return _git(
            root, "rev-parse", "--verify", "--end-of-options", f"{against}^{{commit}}", against=against
        )
    except UsageError as error:
        raise UsageError(
            f"--against {against}: no such branch, tag or commit in {root}, and no such JSON file; "
            "a shallow clone may lack it (git fetch origin BRANCH)"
        ) from error


def _git(folder: Path, *words: str, against: str) -> str:
    # A hook of git runs with variables that name its own index and folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_LFS_SKIP_SMUDGE"] = "1"
    try:
        ran = subprocess.run(
            ["git", "-C", str(folder), *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"--against {against}: git does not run ({error.strerror or error})") from error
    if ran.returncode:
        said = one_line(ran.stderr).removeprefix("fatal: ")
        raise UsageError(f"--against {against} is no file, and git fails in {folder}: {said}")
    return ran.stdout.strip()


def _in_tree(check: Check, root: Path, tree: Path, analysed: Analysed) -> Figures | None:
    here = check.target()
    if not here.folder.resolve().is_relative_to(root):
        raise UsageError(f"{check.text} lies outside of the repository {root}")
    if here.path is not None:
        path = tree / here.path.relative_to(root)
        if not path.is_file():
            return None
        there = replace(here, path=path, root=path.parent)
    else:
        folder = tree / here.folder.resolve().relative_to(root)
        if not _has_module(here.module, (folder, tree, tree / "src")):
            return None
        there = replace(here, root=folder)
    with _swapped(root, tree):
        return analysed(check, there)


def _has_module(module: str, folders: tuple[Path, ...]) -> bool:
    parts = module.split(".")
    for folder in folders:
        place = folder.joinpath(*parts)
        if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
            return True
    return False


@contextmanager
def _swapped(root: Path, tree: Path) -> Iterator[None]:
    """Import from the worktree what is otherwise imported from the working tree, installed there or not."""
    path, before = list(sys.path), dict(sys.modules)
    for name in [name for name in before if _is_in(name, root)]:
        del sys.modules[name]
    folders = [Path(entry or ".").resolve() for entry in path]
    inside = [folder.relative_to(root) for folder in folders if folder.is_relative_to(root)]
    others = [tree / folder for folder in inside if "site-packages" not in folder.parts]
    sys.path[:0] = [str(place) for place in (*others, tree / "src", tree) if place.is_dir()]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if _is_in(name, tree)]:
            del sys.modules[name]
        for name, module in before.items():
            sys.modules.setdefault(name, module)


def _is_in(name: str, folder: Path) -> bool:
    if name.partition(".")[0] in ("rfcalc", "__main__"):
        return False
    file = str(vars(sys.modules[name]).get("__file__") or "") if name in sys.modules else ""
    place = Path(file)
    return bool(file) and place.is_relative_to(folder) and "site-packages" not in place.parts


def _of_json(path: Path) -> OpenBase:
    """Read what `--format json` wrote, of one network or of several.

    Raises:
        UsageError: It cannot be read or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--against {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--against {path} is no JSON: {error}") from error
    reports = content.get("networks", [content]) if isinstance(content, dict) else None
    if not isinstance(reports, list) or not all(
        isinstance(one, dict) and one.get("schema") == 1 for one in reports
    ):
        raise UsageError(f"--against {path} is no JSON of rfcalc: python -m rfcalc --format json writes one")

    def ask(check: Check) -> Figures | None:
        wanted = {check.name, check.text}
        found = [one for one in reports if {one.get("name"), one.get("target")} & wanted]
        return _figures(found[0], check, path) if found else None

    return OpenBase(str(path), ask)


def _figures(report: Mapping[str, Any], check: Check, path: Path) -> Figures:
    dtype = check.budget.dtype if check.budget else "float32"
    size = report.get("field", {}).get("size") if report.get("field_row") is not None else None
    peaks = report.get("peak_bytes") or {"float32": report.get("peak_activation_bytes")}
    found = {
        "params": report.get("params"),
        "macs": report.get("macs"),
        "receptive_field": min(size) if size else None,
        "peak_activation_bytes": peaks.get(dtype),
        "weight_bytes": (report.get("weight_bytes") or {}).get(dtype),
    }
    for name, value in found.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise UsageError(f"{name} of {check.name} in {path} is no whole number: {value!r:.40}")
    return Figures(**found)
