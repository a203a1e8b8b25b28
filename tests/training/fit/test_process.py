import os
import platform
import subprocess
import sys

import pytest

from training.fit.process import SPINS, wait_politely

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator here is not glibc's")

STEPS = """
import resource
from training.fit import process
kept = {keep} and process.keep_freed_memory()
def step():
    blocks = [bytearray(12 << 20) for _ in range(4)]  # zeroed, so every page is touched
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep, **environment):
    """Return whether freed memory is kept, and the page faults of five steps of 48 MiB."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    ours.pop("GLIBC_TUNABLES", None)
    command = [sys.executable, "-c", STEPS.format(keep=keep)]
    told = subprocess.run(command, env=ours | environment, capture_output=True, text=True, check=True)
    kept, count = told.stdout.split()
    return kept == "1", int(count)


def test_waiting_threads_follow_the_user_where_he_has_chosen(monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")  # so that what follows is undone
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    wait_politely()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_politely()
    assert os.environ["GOMP_SPINCOUNT"] == SPINS


@glibc
def test_freed_memory_is_kept_for_the_next_step():
    kept, with_it = faults(keep=True)
    assert kept
    _, without = faults(keep=False)
    assert with_it < without / 10


@glibc
@pytest.mark.parametrize(
    "chosen", [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}]
)
def test_what_the_user_has_told_the_allocator_holds(chosen):
    assert faults(keep=True, **chosen)[0] is False
