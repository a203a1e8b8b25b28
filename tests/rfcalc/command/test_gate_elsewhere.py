"""The gate where teams look: the pytest plugin, the pre-commit hook and the action, each run for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROJECT = """
[tool.rfcalc]
max-params = 600

[[tool.rfcalc.network]]
target = "net.py"
name = "net"
max-macs = 1000
"""
NET = "from torch import nn\nmodel = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3))\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def ran(words: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    # Python and its commands of this environment come first, and rfcalc from the working tree.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def git(folder: Path, *words: str) -> None:
    names = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org"}
    names |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}
    done = ran(["git", *words], folder, **names)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_plugin_has_a_test_for_each_limit_of_each_network(project: Path) -> None:
    words = [sys.executable, "-m", "pytest", "--rfcalc", "-q", "-p", "no:cacheprovider", "-rA"]
    done = ran(words, project, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_PLUGINS="rfcalc.pytest_plugin")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "PASSED rfcalc::net::max-params" in done.stdout
    assert "FAILED rfcalc::net::max-macs" in done.stdout
    assert "net: max-macs is 420,192, must be <= 1,000, over by 419,192" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_the_hook_fails_the_commit_and_says_why(project: Path) -> None:
    pytest.importorskip("pre_commit")
    hooks = project / "hooks"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    git(hooks, "init", "-q")
    git(hooks, "add", ".")
    git(hooks, "commit", "-q", "-m", "hooks")
    mine = project / "mine"
    mine.mkdir()
    for name in ("net.py", "pyproject.toml"):
        shutil.move(project / name, mine / name)
    git(mine, "init", "-q")
    git(mine, "add", ".")
    words = [sys.executable, "-m", "pre_commit", "try-repo", str(hooks), "rfcalc", "--all-files"]
    done = ran(words, mine, PRE_COMMIT_HOME=str(project / "home"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 limit broken" in done.stdout or "1 of 2 limits broken" in done.stdout
    (mine / "pyproject.toml").write_text(PROJECT.replace("1000", '"1M"'))
    git(mine, "add", ".")
    assert ran(words, mine, PRE_COMMIT_HOME=str(project / "home")).returncode == 0


@pytest.mark.slow
def test_the_action_comments_the_delta_of_a_pull_request_and_fails_on_growth(project: Path) -> None:
    yaml: Any = pytest.importorskip("yaml")
    steps = {
        step["name"]: step for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    }
    (project / "pyproject.toml").write_text(
        PROJECT.replace("max-macs = 1000", 'max-macs = "1M"').replace(
            "max-params = 600", 'max-params = 9000\nmax-params-growth = "2%"'
        )
    )
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "base")
    git(project, "remote", "add", "origin", str(project))
    (project / "net.py").write_text(NET.replace("8", "9"))
    git(project, "commit", "-q", "-a", "-m", "wider")
    git(project, "branch", "feature")
    git(project, "reset", "-q", "--hard", "HEAD~1")
    git(project, "checkout", "-q", "feature")
    place = project / "runner"
    (place / "bin").mkdir(parents=True)
    # Stands for GitHub's own command: no comment is there yet; what is posted is kept.
    stub = place / "bin" / "gh"
    stub.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >> "{place}/gh.log"\n')
    stub.chmod(0o755)
    env = {
        "RUNNER_TEMP": str(place),
        "GITHUB_OUTPUT": str(place / "output"),
        "GITHUB_STEP_SUMMARY": str(place / "summary"),
        "PATH": f"{place / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def step(name: str, **values: str) -> subprocess.CompletedProcess[str]:
        return ran(["bash", "-eo", "pipefail", "-c", steps[name]["run"]], project, **env, **values)

    fetched = step("Fetch the base", BASE="main")
    assert fetched.returncode == 0, fetched.stderr
    checked = step("Check", TARGETS="", AGAINST="", ARGUMENTS="", BASE="main")
    assert checked.returncode == 0, checked.stderr
    assert "::error " in checked.stdout
    assert (place / "output").read_text() == "code=1\n"
    commented = step("Comment", GH_TOKEN="t", REPOSITORY="me/mine", NUMBER="7")
    assert commented.returncode == 0, commented.stderr
    log = (place / "gh.log").read_text()
    assert "repos/me/mine/issues/7/comments" in log
    assert "+64 (+12.4 %)" in log
    assert "<!-- rfcalc -->" in log
    assert step("Verdict", CODE="1").returncode == 1
