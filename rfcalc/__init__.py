"""Exact receptive fields, parameters and MACs of any PyTorch network, and whether it fits a budget.

    analysis = rfcalc.analyze(model, input_size=(3, 32, 32))
    verdict = rfcalc.judge(analysis, rfcalc.Budget(min_receptive_field=53, max_params=99_999))

The names load when they are first used: `python -m rfcalc --help` answers without importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from rfcalc._version import __version__

if TYPE_CHECKING:
    from rfcalc import testing as testing
    from rfcalc.analysis import Analysis as Analysis
    from rfcalc.analysis import Row as Row
    from rfcalc.analysis import analyze as analyze
    from rfcalc.budget import Budget as Budget
    from rfcalc.budget import Limit as Limit
    from rfcalc.budget import Verdict as Verdict
    from rfcalc.budget import judge as judge
    from rfcalc.errors import RfcalcError as RfcalcError
    from rfcalc.field import Field as Field
    from rfcalc.load import load_model as load_model
    from rfcalc.rules import rule as rule
    from rfcalc.structure import Structure as Structure

_HOME = {
    "Analysis": "analysis",
    "Budget": "budget",
    "Field": "field",
    "Limit": "budget",
    "RfcalcError": "errors",
    "Row": "analysis",
    "Structure": "structure",
    "Verdict": "budget",
    "analyze": "analysis",
    "judge": "budget",
    "load_model": "load",
    "rule": "rules",
}
_MODULES = ("testing",)

__all__ = [
    "Analysis",
    "Budget",
    "Field",
    "Limit",
    "RfcalcError",
    "Row",
    "Structure",
    "Verdict",
    "__version__",
    "analyze",
    "judge",
    "load_model",
    "rule",
    "testing",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
