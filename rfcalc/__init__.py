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
    from rfcalc.analysis.analyze import Analysis as Analysis
    from rfcalc.analysis.analyze import Row as Row
    from rfcalc.analysis.analyze import analyze as analyze
    from rfcalc.analysis.budget import Budget as Budget
    from rfcalc.analysis.budget import Limit as Limit
    from rfcalc.analysis.budget import Verdict as Verdict
    from rfcalc.analysis.budget import judge as judge
    from rfcalc.analysis.structure import Structure as Structure
    from rfcalc.command.load import load_model as load_model
    from rfcalc.errors import RfcalcError as RfcalcError
    from rfcalc.maps.field import Field as Field
    from rfcalc.ops.lookup import rule as rule

_HOME = {
    "Analysis": "analysis.analyze",
    "Budget": "analysis.budget",
    "Field": "maps.field",
    "Limit": "analysis.budget",
    "RfcalcError": "errors",
    "Row": "analysis.analyze",
    "Structure": "analysis.structure",
    "Verdict": "analysis.budget",
    "analyze": "analysis.analyze",
    "judge": "analysis.budget",
    "load_model": "command.load",
    "rule": "ops.lookup",
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
