"""The public names: what the contract promises, loaded when first used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rfcalc


@pytest.mark.parametrize("name", rfcalc.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(rfcalc, name) is not None
    assert name in dir(rfcalc)


def test_the_contract_is_public() -> None:
    contract = {
        "analyze",
        "judge",
        "Budget",
        "Verdict",
        "Field",
        "Row",
        "Analysis",
        "rule",
        "RfcalcError",
        "testing",
    }
    assert contract <= set(rfcalc.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'rfcalc' has no attribute 'analyse'"):
        _ = rfcalc.analyse  # type: ignore[attr-defined]


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, rfcalc; rfcalc.Budget(max_params=1); print('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
