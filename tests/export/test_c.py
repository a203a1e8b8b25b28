"""The C code: compiled without a warning, bit for bit the interpreter's, and on an emulated Cortex-M."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.c import emulate, interpret, text
from export.c.arena import plan
from tests.export.conftest import Case

STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsanitize=address,undefined")


def written(found: Case, folder: Path) -> Path:
    arena = plan(found.program)
    expected = interpret.run(found.program, found.images[:1])[0]
    folder.mkdir(exist_ok=True)
    (folder / "network.h").write_text(text.header(found.program, arena))
    (folder / "network.c").write_text(text.source(found.program, arena, found.images[0], expected))
    shutil.copy(text.MAIN, folder)
    return folder


def compiled(compiler: str, folder: Path) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    subprocess.run([compiler, *STRICT, "-o", "network", "main.c", "network.c"], cwd=folder, check=True)
    return folder / "network"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", ["mixed", "residual-mcu"])
def test_every_score_is_that_of_the_interpreter(
    name: str, compiler: str, case: Callable[[str], Case], tmp_path: Path
) -> None:
    found = case(name)
    program = compiled(compiler, written(found, tmp_path))
    # Beside noise, what reaches the ends of every range.
    extreme = np.stack([np.full_like(found.images[0], value) for value in (0, 255)])
    images = np.concatenate([found.images[:6], extreme])
    (tmp_path / "images.bin").write_bytes(images.tobytes())
    done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True, check=True)
    scores = np.array([line.split() for line in done.stdout.splitlines()], dtype=np.int64)
    assert (scores == interpret.run(found.program, images)).all()


def test_the_self_test_notices_another_arithmetic(case: Callable[[str], Case], tmp_path: Path) -> None:
    written(case("mixed"), tmp_path)
    source = tmp_path / "network.c"
    source.write_text(source.read_text().replace("(int64_t)1 << (shift - 1)", "(int64_t)0"))
    program = compiled("gcc", tmp_path)
    (tmp_path / "images.bin").write_bytes(b"")
    done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the self-test fails" in done.stderr


def test_no_heap_and_no_library_is_needed(case: Callable[[str], Case], tmp_path: Path) -> None:
    source = (written(case("mixed"), tmp_path) / "network.c").read_text()
    plain = "".join(re.split(r"^#ifdef NETWORK_CMSIS_NN$.*?^#else$", source, flags=re.DOTALL | re.MULTILINE))
    assert [line for line in plain.splitlines() if line.startswith("#include")] == ['#include "network.h"']
    header = (tmp_path / "network.h").read_text()
    assert [line for line in header.splitlines() if line.startswith("#include")] == ["#include <stdint.h>"]


def test_names_of_strangers_end_neither_a_comment_nor_a_string(tmp_path: Path) -> None:
    assert text.comment("*/ int main() /*") == "__ int main() __"
    assert text.literal('a"; ??/ \\ é') == r'"a\042\073 \077\077\057 \134 \303\251"'


@pytest.mark.parametrize("name", ["mixed"])
def test_an_emulated_cortex_m_computes_the_same_scores(
    name: str, case: Callable[[str], Case], tmp_path: Path
) -> None:
    if (why := emulate.missing(emulate.COMPILER, emulate.EMULATOR)) is not None:
        pytest.skip(why)
    found = case(name)
    board = emulate.emulate(written(found, tmp_path), found.images[:4], len(found.program.classes))
    assert (board.scores == interpret.run(found.program, found.images[:4])).all()
    macs = sum(step.macs(found.program.shape(step.inputs[0])) for step in found.program.steps)
    assert 2 * macs < board.instructions < 60 * macs


def test_the_size_of_the_machine_code_is_measured(case: Callable[[str], Case], tmp_path: Path) -> None:
    if (why := emulate.missing(emulate.COMPILER, emulate.SIZE)) is not None:
        pytest.skip(why)
    found = case("residual-mcu")
    constants = sum(found.program.sizes().values())
    measured = emulate.code_bytes(written(found, tmp_path))
    assert measured is not None
    assert 2_000 < measured - constants < 12_000


def test_the_folder_of_the_code_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler that looks whether its last argument is there, and a size of its own."""
    programs = {emulate.COMPILER: 'for last; do :; done; test -f "$last"', emulate.SIZE: "echo; echo 5 7 0"}
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    Path("code").mkdir()
    Path("code/network.c").touch()
    assert emulate.code_bytes(Path("code")) == 12
