"""Where a run takes place: versions, hardware, commit."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from records.run import Environment

PACKAGES = ("torch", "torchvision", "albumentations", "opencv-python-headless", "optuna", "numpy")


def describe(device: str) -> Environment:
    """Return the facts of this process; `device` is what it computes on ("cpu", "cuda", "mps")."""
    import torch

    processor = f"{_processor()}, {os.cpu_count()} cores"
    hardware = torch.cuda.get_device_name() if device == "cuda" else processor
    commit, dirty = _git()
    return Environment(
        device=device,
        hardware=hardware,
        threads=torch.get_num_threads(),
        versions={"python": platform.python_version(), **_versions()},
        git_commit=commit,
        git_dirty=dirty,
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Return the processor's name; Linux keeps it in /proc, elsewhere the platform module knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git() -> tuple[str | None, bool | None]:
    root = Path(__file__).resolve().parent.parent
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    try:
        commit, status = (
            subprocess.run(
                command, cwd=root, capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(status)
