"""A notebook as a model file: the statements of its code cells that import or define, and nothing else."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from rfcalc.errors import LoadError

__all__ = ["Notebook", "read_notebook"]

_SAFE_CALLS = frozenset(
    [
        "int",
        "float",
        "bool",
        "str",
        "len",
        "range",
        "list",
        "tuple",
        "dict",
        "set",
        "min",
        "max",
        "sum",
        "abs",
        "round",
        "zip",
        "enumerate",
        "sorted",
    ]
)
_SAFE_ROOTS = frozenset(["nn", "torch", "math", "Path", "os", "functools", "partial", "np", "numpy"])
_NOT_SAFE = frozenset(["load", "hub", "save", "compile", "system", "environ", "popen", "remove", "optim"])
_METHODS = frozenset(
    [
        "to",
        "eval",
        "train",
        "cuda",
        "cpu",
        "float",
        "half",
        "double",
        "requires_grad_",
        "items",
        "keys",
        "values",
    ]
)


@dataclass(frozen=True)
class Notebook:
    """What of a notebook is run.

    Attributes:
        code: One code object for each cell of which something runs.
        cells: Code cells, all of them.
        magics: Lines that begin with % or !, which are IPython's; a cell of another language counts as one.
        skipped: Statements that neither import nor define, such as a training loop.
    """

    code: tuple[CodeType, ...]
    cells: int
    magics: int
    skipped: int

    @property
    def note(self) -> str:
        """What ran and what did not, as the report says it."""
        left = []
        if self.magics:
            left.append(f"{self.magics} line{'s' * (self.magics > 1)} of IPython magic")
        if self.skipped:
            left.append(f"{self.skipped} statement{'s' * (self.skipped > 1)} that neither import nor define")
        ran = f"notebook: imports and definitions of {len(self.code)} of {self.cells} code cells ran"
        return f"{ran}; skipped: {' and '.join(left)}" if left else ran


def read_notebook(path: Path) -> Notebook:
    """Read the code cells of a notebook; nothing is run.

    Raises:
        LoadError: It is no notebook, or a cell is no valid Python; the message names the cell and the line.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        sources = [
            "".join(cell["source"])
            for cell in _cells(content)
            if cell["cell_type"] == "code" and all(isinstance(line, str) for line in cell.get("source", ""))
        ]
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise LoadError(f"{path} is no notebook: it is not the JSON that Jupyter writes") from error
    language = str(_deep(content, "metadata", "kernelspec", "language") or "python")
    if language.lower() != "python":
        raise LoadError(f"{path} is a notebook in {language}, not in Python")
    trees, magics = [], 0
    for number, source in enumerate(sources, 1):
        python, found = _without_magics(source)
        magics += found
        try:
            trees.append(ast.parse(python))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            where = f"cell {number}, line {line}" if line else f"cell {number}"
            raise LoadError(f"{path}, {where}: syntax error: {getattr(error, 'msg', error)}") from error
    classes = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    code, skipped = [], 0
    for number, tree in enumerate(trees, 1):
        kept = [statement for statement in tree.body if _defines(statement, classes)]
        # A magic has become a `pass`.
        skipped += sum(not isinstance(statement, ast.Pass) for statement in tree.body) - len(kept)
        if kept:
            tree.body = kept
            code.append(compile(tree, f"{path}, cell {number}", "exec", dont_inherit=True))
    return Notebook(tuple(code), len(sources), magics, skipped)


def _cells(content: Any) -> list[Any]:
    if "worksheets" in content:  # nbformat 3
        cells = [cell for sheet in content["worksheets"] for cell in sheet["cells"]]
        return [{**cell, "source": cell.get("source", cell.get("input", ""))} for cell in cells]
    found: list[Any] = content["cells"]
    return found


def _deep(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _without_magics(source: str) -> tuple[str, int]:
    """Return the Python of a cell, and how many lines of IPython's own were left out.

    Line numbers stay: a line that is left out becomes a `pass` of the same indentation.
    """
    lines = source.splitlines()
    first = next((line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    # %%time and its like wrap Python; %%bash, %%writefile and %%html are something else.
    if first.startswith("%%") and first.split()[0] not in ("%%time", "%%timeit", "%%capture", "%%prun"):
        return "", 1
    out, magics = [], 0
    inside = ""
    for line in lines:
        text = line.strip()
        if not inside and _is_magic(text):
            out.append(line[: len(line) - len(line.lstrip())] + "pass")
            magics += 1
            continue
        for quote in ('"""', "'''"):
            # An odd number of triple quotes opens or closes a text of several lines.
            if inside in ("", quote) and line.count(quote) % 2:
                inside = "" if inside else quote
        out.append(line)
    return "\n".join(out) + "\n", magics


def _is_magic(text: str) -> bool:
    if text.startswith(("%", "!", "?")):
        return True
    if text.endswith("?") and "#" not in text and '"' not in text and "'" not in text:
        return True
    # files = !ls and t = %timeit -o f()
    name, equals, value = text.partition("=")
    return bool(equals) and name.strip().isidentifier() and value.strip().startswith(("!", "%"))


def _defines(statement: ast.stmt, classes: set[str]) -> bool:
    if isinstance(
        statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ):
        return True
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        plain = all(isinstance(node, ast.Name | ast.Tuple | ast.List) for node in targets)
        return plain and statement.value is not None and _is_definition(statement.value, classes)
    if isinstance(statement, ast.Try):
        return all(
            _defines(inner, classes) or isinstance(inner, ast.Pass) for inner in statement.body
        ) and all(
            _defines(inner, classes) or isinstance(inner, ast.Pass)
            for handler in statement.handlers
            for inner in handler.body
        )
    return False


def _is_definition(value: ast.expr, classes: set[str]) -> bool:
    """Return whether a value is written down, or built of classes of the notebook and of PyTorch."""
    if any(
        isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr) for node in ast.walk(value)
    ):
        return False
    calls = [node.func for node in ast.walk(value) if isinstance(node, ast.Call)]
    return all(_builds(function, classes) for function in calls)


def _builds(function: ast.expr, classes: set[str]) -> bool:
    if isinstance(function, ast.Name):
        return function.id in classes or function.id in _SAFE_CALLS or function.id in _SAFE_ROOTS
    names: list[str] = []
    while isinstance(function, ast.Attribute):
        names.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name) and function.id in _SAFE_ROOTS:
        return _NOT_SAFE.isdisjoint(names)
    return names[:1] != [] and names[0] in _METHODS
