"""The part of the repository that travels to the nodes."""

import shutil
from pathlib import Path

from search.execute.worker import Work

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("models", "records", "rfcalc", "search", "training")
"""What a training imports; data, runs, tests and whatever else lies in a checkout stay where they are."""


def packages(work: Work) -> tuple[str, ...]:
    """Return the packages that `work` needs: another one than training is for tests and campaigns."""
    return tuple(dict.fromkeys((*PACKAGES, work.__module__.partition(".")[0])))


def stage(work: Work, folder: Path) -> None:
    """Copy what `work` needs into `folder`, which becomes Ray's `working_dir`.

    Ray takes at most 500 MiB and would pack everything below a checkout that no .gitignore names: data sets,
    virtual environments. The source of the packages is some 2 MB.
    """
    for name in packages(work):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "golden")
        )
