"""What `pip install rfcalc` puts into site-packages."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_holds_rfcalc_alone(tmp_path: Path) -> None:
    # From a copy: setuptools leaves build/ and *.egg-info behind.
    source = tmp_path / "source"
    skipped = shutil.ignore_patterns(".*", "runs", "data", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=skipped)
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rfcalc"}
    assert "rfcalc/py.typed" in names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rfcalc").rglob("*.py")}
    assert modules <= set(names)
