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


PUBLIC = (
    "Analysis Budget Field Finding Limit RfcalcError Row Structure Target Verdict __version__ analyze"
    " effective_field explain find_budget judge lint load_model parse_size read_budget rule testing verify"
)


def test_the_public_names_are_these() -> None:
    assert rfcalc.__all__ == PUBLIC.split()


@pytest.mark.slow
def test_a_type_checker_sees_the_public_names(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    names = [name for name in rfcalc.__all__ if name != "testing"]
    uses = "\n".join(f"reveal_type(rfcalc.{name})" for name in names)
    file = tmp_path / "uses.py"
    file.write_text(f"import rfcalc\nfrom rfcalc import {', '.join(names)}\n{uses}\n")
    report, errors, code = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(file)])
    assert code == 0, report + errors
    assert report.count("Revealed type") == len(names)
    assert 'Revealed type is "Any"' not in report


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'rfcalc' has no attribute 'analyse'"):
        _ = rfcalc.analyse  # type: ignore[attr-defined]


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, rfcalc; rfcalc.Budget(max_params=1); rfcalc.parse_size('3x32x32'); "
    code += "rfcalc.find_budget, rfcalc.read_budget, rfcalc.Target, rfcalc.RfcalcError, rfcalc.Verdict; "
    code += "print('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
