"""Exact receptive fields, parameters and MACs of any PyTorch network, and whether it fits a budget.

    analysis = rfcalc.analyze(model, input_size=(3, 32, 32))
    verdict = rfcalc.judge(analysis, rfcalc.Budget(min_receptive_field=53, max_params=99_999))

The names load when they are first used: `python -m rfcalc --help` answers without importing torch.
"""

import ast
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

from rfcalc._version import __version__ as __version__

# The only list of the public names: type checkers follow these imports, and at run time their text is read.
if TYPE_CHECKING:
    from rfcalc import testing as testing
    from rfcalc.analysis.analyze import analyze as analyze
    from rfcalc.analysis.budget import Budget as Budget
    from rfcalc.analysis.budget import Limit as Limit
    from rfcalc.analysis.budget import Verdict as Verdict
    from rfcalc.analysis.budget import judge as judge
    from rfcalc.analysis.result import Analysis as Analysis
    from rfcalc.analysis.result import Row as Row
    from rfcalc.analysis.settings import find_budget as find_budget
    from rfcalc.analysis.settings import read_budget as read_budget
    from rfcalc.analysis.structure import Structure as Structure
    from rfcalc.command.arguments import parse_size as parse_size
    from rfcalc.command.load import load_model as load_model
    from rfcalc.command.target import Target as Target
    from rfcalc.errors import RfcalcError as RfcalcError
    from rfcalc.maps.field import Field as Field
    from rfcalc.ops.lookup import rule as rule
    from rfcalc.questions.erf import effective_field as effective_field
    from rfcalc.questions.explain import explain as explain
    from rfcalc.questions.lint import Finding as Finding
    from rfcalc.questions.lint import lint as lint
    from rfcalc.questions.oracle import verify as verify


def _public_names() -> dict[str, str]:
    """Return the module that each public name comes from, as the imports for type checkers say."""
    source = pkgutil.get_data(__name__, "__init__.py") or b""
    (block,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    return {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }


_HOMES = _public_names()
__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    # `from rfcalc import testing` names a module of the package itself.
    value = import_module(f"{home}.{name}") if home == __name__ else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
