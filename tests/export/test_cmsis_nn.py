"""The C code with CMSIS-NN: which operators it computes, the memory, and the same answer in every bit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.c import cmsis_nn, emulate, interpret, text
from export.c.arena import Arena
from export.c.arithmetic import Convolution, Mean, Program, Rescale, Scale, Step
from tests.export.conftest import Case
from tests.export.test_c import STRICT, written

STAND_IN = Path(__file__).with_name("cmsis_nn")
ONCE, CALLED = "-DCMSIS_NN_USE_SINGLE_ROUNDING", "-DNETWORK_CMSIS_NN"
HOST = ("-D__GNUC_PYTHON__", "-D__RESTRICT=__restrict")
"""CMSIS-NN before 2023 takes these from a header of CMSIS-Core, which is for Arm alone."""
SHIFT = 40


def conv(
    outputs: int = 8,
    inputs: int = 8,
    kernel: int = 3,
    *,
    groups: int = 1,
    padding: int = 1,
    dilation: int = 1,
    transposed: bool = False,
    shift: int = SHIFT,
) -> Convolution:
    weight = np.full((outputs, kernel, kernel, inputs // groups), 100, np.int8)
    rescales = (Rescale(2**30, shift),) * outputs
    return Convolution(
        *(weight, np.zeros(outputs, np.int32), rescales, (1, 1), (padding, padding)),
        *((dilation, dilation), groups, transposed, -128, 127),
    )


def program_of(op: Convolution, output: int = 6) -> Program:
    """Return a network of one convolution on a map of 6x6, and a mean."""
    channels = len(op.weight)
    first = Step("conv", op, (0,), (output, output, channels), Scale(1.0, 0))
    last = Step("mean", Mean(Rescale(2**30, SHIFT)), (1,), (1, 1, channels), Scale(1.0, 0))
    shape = (6, 6, op.weight.shape[3] * op.groups)
    return Program("n", ("a",) * channels, shape, Scale(1.0, 0), np.zeros((3, 256), np.int8), (first, last))


@pytest.mark.parametrize(
    ("op", "bytes_"),
    [
        (conv(), 8 * 4 + 2 * 2 * 72),
        (conv(16, 3, 1, padding=0), 16 * 4 + 2 * 2 * 4),
        (conv(dilation=2, padding=2), 8 * 4 + 2 * 2 * 72),
        (conv(6, 6, groups=6), 6 * 4 + 56 + 2 * 54),
        (conv(8, 8, 5, groups=8, padding=2), 8 * 4 + 200 + 2 * 200),
        (conv(8, 8, groups=8, dilation=2, padding=2), 8 * 4 + 72),
        (conv(shift=14), 8 * 4 + 2 * 2 * 72),
    ],
    ids=["plain", "1x1", "dilated", "depthwise", "depthwise 5x5", "depthwise dilated", "factor 2 ** 16"],
)
def test_it_computes_plain_and_depthwise_convolutions(op: Convolution, bytes_: int) -> None:
    """With the documented memory: shifts, turned weights, and columns of inputs in 16 bits."""
    if op.rescales[0].shift < 31:  # small weights leave the room
        op = replace(op, weight=np.full_like(op.weight, 0))
    program = program_of(op)
    assert cmsis_nn.computes(program, program.steps[0])
    assert cmsis_nn.buffer_bytes(program) == bytes_


@pytest.mark.parametrize(
    "op",
    [
        conv(transposed=True),
        conv(groups=2),
        conv(16, 8, groups=8),
        conv(shift=20),
        conv(5, 40_000, 1, padding=0),
    ],
    ids=["transposed", "groups", "two outputs a channel", "factor 2 ** 10", "16 bits"],
)
def test_it_does_not_compute_the_rest(op: Convolution) -> None:
    program = program_of(op)
    assert not cmsis_nn.computes(program, program.steps[0])
    assert cmsis_nn.buffer_bytes(program) == 0
    assert cmsis_nn.definition(program) == ""


@pytest.mark.parametrize(
    ("kernel", "padding", "output", "found"), [(3, 0, 5, True), (3, 0, 6, False), (1, 0, 7, False)]
)
def test_a_kernel_whose_middle_leaves_the_map_is_computed_by_the_loops(
    kernel: int, padding: int, output: int, found: bool
) -> None:
    """Padding to the right and below alone, as TensorFlow pads; CMSIS-NN's kernels do not check for it."""
    program = program_of(conv(8, 8, kernel, padding=padding), output)
    assert cmsis_nn.computes(program, program.steps[0]) == found


def test_the_scores_have_16_bits_and_are_computed_by_the_loops() -> None:
    whole = program_of(conv())
    program = replace(whole, steps=whole.steps[:1])
    assert not cmsis_nn.computes(program, program.steps[0])


@given(st.integers(-(2**30), 2**30), st.integers(2**30, 2**31 - 1), st.integers(33, 62))
def test_one_rounding_is_that_of_the_arithmetic(total: int, multiplier: int, shift: int) -> None:
    """arm_nn_requantize with CMSIS_NN_USE_SINGLE_ROUNDING, as its source has it."""
    half = (total * multiplier) >> (31 - (31 - shift) - 1)
    assert -(2**31) <= half < 2**31
    assert (half + 1) >> 1 == int(interpret.rescaled(np.array(total), Rescale(multiplier, shift)))


def test_the_code_names_the_convolutions_that_cmsis_nn_computes(
    case: Callable[[str], Case], tmp_path: Path
) -> None:
    found = case("mixed")
    folder = written(found, tmp_path)
    code = (folder / "network.c").read_text()
    computed = sum(cmsis_nn.computes(found.program, step) for step in found.program.steps)
    assert 0 < computed == code.count("\n    CMSIS_NN_CONVOLUTION(&layer_")
    assert code.count("\n    NETWORK_CONVOLUTION(&layer_") > 0  # groups
    bytes_ = cmsis_nn.buffer_bytes(found.program)
    assert f"#define NETWORK_CMSIS_NN_BYTES {bytes_}\n" in (folder / "network.h").read_text()


def test_the_buffer_of_residual_mcu(case: Callable[[str], Case]) -> None:
    """A depthwise 5x5 of 68 channels: shifts, weights in 8 bits and inputs in 16."""
    assert cmsis_nn.buffer_bytes(case("residual-mcu").program) == 68 * (4 + 25 + 2 * 25)


def build(
    folder: Path,
    checkout: Path,
    *,
    files: Sequence[str] = ("network.c", "main.c"),
    ours: Sequence[str] = (ONCE,),
    theirs: Sequence[str] = (ONCE,),
    compiler: str = "gcc",
) -> Path:
    """Compile network.c strictly with CMSIS-NN; its own files without warnings, but with the sanitizers."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    include = f"-isystem{checkout.resolve() / 'Include'}"
    sources = map(str, emulate.cmsis_nn_sources(checkout))
    run = lambda *words: subprocess.run([compiler, *STRICT, *words], cwd=folder, check=True)  # noqa: E731
    run("-w", *HOST, *theirs, include, "-c", *sources)
    run(*HOST, *ours, CALLED, include, "-c", *files)
    run("-Wl,--gc-sections", "-o", "network", *(file.name for file in folder.glob("*.o")))
    return folder / "network"


def answers(program: Path, images: np.ndarray) -> np.ndarray:
    (program.parent / "images.bin").write_bytes(images.tobytes())
    done = subprocess.run([program], cwd=program.parent, capture_output=True, text=True, check=True)
    return np.array([line.split() for line in done.stdout.splitlines()], dtype=np.int64)


@pytest.mark.parametrize(
    "theirs", [[], ["-DWANTED=100000"], ["-DREFUSES"]], ids=["computed", "memory", "refused"]
)
def test_the_answer_is_the_same_whether_it_computes_or_not(
    theirs: list[str], case: Callable[[str], Case], tmp_path: Path
) -> None:
    """With the stand-in, which also overwrites all memory that it is given."""
    found = case("mixed")
    program = build(written(found, tmp_path), STAND_IN, theirs=(ONCE, *theirs))
    assert (answers(program, found.images[:4]) == interpret.run(found.program, found.images[:4])).all()


def test_every_value_of_random_convolutions_is_the_same(tmp_path: Path) -> None:
    program = convolutions(0)
    places = spread(program, tmp_path)
    assert differences(program, build(tmp_path, STAND_IN, files=("main.c",)), places) == []
    assert 20 < sum(cmsis_nn.computes(program, step) for step in program.steps) < 40


def test_the_self_test_notices_a_library_that_rounds_twice(
    case: Callable[[str], Case], tmp_path: Path
) -> None:
    program = build(written(case("mixed"), tmp_path), STAND_IN, theirs=())
    (tmp_path / "images.bin").write_bytes(b"")
    done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the self-test fails" in done.stderr


def test_the_code_is_not_compiled_for_two_roundings(case: Callable[[str], Case], tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    words = ["gcc", "-std=c99", CALLED, "-c", "network.c"]
    done = subprocess.run(
        words, cwd=written(case("mixed"), tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert "NETWORK_CMSIS_NN needs -DCMSIS_NN_USE_SINGLE_ROUNDING" in done.stderr


def convolutions(seed: int, layers: int = 40) -> Program:
    """Return random convolutions of values before them: kernels, strides, zeros, more padding on one side."""
    random = np.random.default_rng(seed)
    shapes, scales, steps = [(13, 10, 3)], [Scale(1.0, -7)], list[Step]()
    for number in range(layers):
        source = int(
            random.choice([each for each, (height, width, _) in enumerate(shapes) if height * width > 30])
        )
        *sides, inputs = shapes[source]
        depthwise = bool(random.integers(2))
        outputs = inputs if depthwise else int(random.integers(1, 11))
        kernel, dilation, stride = (
            int(random.choice(each)) for each in ((1, 2, 3, 3, 5), (1, 1, 2), (1, 1, 1, 2))
        )
        reach = (kernel - 1) * dilation
        pads = random.integers(0, [[reach // 2 + 1, reach // 2 + 2]] * 2)
        sides = [
            max(1, (side + pad.sum() - reach - 1) // stride + 1)
            for side, pad in zip(sides, pads, strict=True)
        ]
        weight = random.integers(-127, 128, (outputs, kernel, kernel, 1 if depthwise else inputs)).astype(
            np.int8
        )
        factors = random.uniform(0.8, 1.8, outputs) / 73 / np.sqrt(weight[0].size)
        scale = Scale(1.0, int(random.integers(-128, 128)))
        op = Convolution(
            *(weight, random.integers(-3000, 3000, outputs).astype(np.int32)),
            *(tuple(Rescale.of(float(each)) for each in factors), (stride, stride)),
            *((int(pads[0, 0]), int(pads[1, 0])), (dilation, dilation), inputs if depthwise else 1, False),
            *((scale.zero, 127) if random.integers(2) else (-128, 127)),
        )
        shapes.append((int(sides[0]), int(sides[1]), outputs))
        scales.append(scale)
        steps.append(Step(f"conv {number}", op, (source,), shapes[-1], scale))
    mean = Step("mean", Mean(Rescale.of(0.1)), (0,), (1, 1, 3), Scale(1.0, 0))
    pixels = np.tile(np.arange(-128, 128), (3, 1)).astype(np.int8)
    return Program("random", ("a", "b", "c"), shapes[0], scales[0], pixels, (*steps, mean))


DUMP = """#include <stdio.h>
#include "network.c"

int main(void)
{
    static uint8_t pixels[NETWORK_INPUT_BYTES];
    static int16_t scores[NETWORK_CLASSES];
    FILE *images = fopen("images.bin", "rb"), *values = fopen("values.bin", "wb");
    while (fread(pixels, 1, sizeof pixels, images) == sizeof pixels) {
        network_run(pixels, scores);
        fwrite(arena, 1, sizeof arena, values);
    }
    return fclose(values);
}
"""


def spread(program: Program, folder: Path) -> list[int]:
    """Write its code and a main that stores every value, each in a place of its own; return the places."""
    sizes = [int(np.prod(program.shape(value))) for value in range(len(program.steps))]
    places = [0, *np.cumsum(sizes)]
    plan = Arena(int(places[-1]), tuple(map(int, places[:-1])), 0)
    image = np.zeros(program.input_shape, np.uint8)
    (folder / "network.h").write_text(text.header(program, plan))
    (folder / "network.c").write_text(
        text.source(program, plan, image, interpret.run(program, image[None])[0])
    )
    (folder / "main.c").write_text(DUMP)
    return places


def differences(program: Program, executable: Path, places: list[int]) -> list[str]:
    """Return the names of the steps of which a value is not the interpreter's."""
    images = np.random.default_rng(1).integers(0, 256, (4, *program.input_shape), dtype=np.uint8)
    folder = executable.parent
    (folder / "images.bin").write_bytes(images.tobytes())
    subprocess.run([executable], cwd=folder, check=True)
    stored = np.fromfile(folder / "values.bin", np.int8).reshape(len(images), -1)
    wrong: list[str] = []

    def compare(value: int, x: np.ndarray) -> None:
        if 0 < value < len(program.steps):
            part = stored[:, places[value] : places[value + 1]]
            if (part != x.reshape(len(x), -1)).any():
                wrong.append(program.steps[value - 1].name)

    interpret.run(program, images, compare)
    return wrong


def checkout() -> Path:
    if "CMSIS_NN" not in os.environ:
        pytest.skip("CMSIS_NN does not name a checkout of github.com/ARM-software/CMSIS-NN")
    return Path(os.environ["CMSIS_NN"])


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", ["mixed", "residual-mcu"])
def test_cmsis_nn_gives_every_score_of_the_interpreter(
    name: str, compiler: str, case: Callable[[str], Case], tmp_path: Path
) -> None:
    found = case(name)
    program = build(written(found, tmp_path), checkout(), compiler=compiler)
    extreme = np.stack([np.full_like(found.images[0], value) for value in (0, 255)])
    images = np.concatenate([found.images[:6], extreme])
    assert (answers(program, images) == interpret.run(found.program, images)).all()


@pytest.mark.parametrize("seed", range(4))
def test_cmsis_nn_gives_every_value_of_random_convolutions(seed: int, tmp_path: Path) -> None:
    program = convolutions(seed)
    places = spread(program, tmp_path)
    assert differences(program, build(tmp_path, checkout(), files=("main.c",)), places) == []


@pytest.mark.parametrize("name", ["mixed", "residual-mcu"])
def test_cmsis_nn_on_an_emulated_cortex_m_takes_fewer_instructions(
    name: str, case: Callable[[str], Case], tmp_path: Path
) -> None:
    """There its paths for the DSP instructions are compiled, which a computer does not run."""
    if (why := emulate.missing(emulate.COMPILER, emulate.EMULATOR)) is not None:
        pytest.skip(why)
    found, library = case(name), checkout()
    folder, images = written(found, tmp_path), found.images[:2]
    plain, faster = (
        emulate.emulate(folder, images, len(found.program.classes), each) for each in (None, library)
    )
    assert (faster.scores == interpret.run(found.program, images)).all()
    assert faster.instructions < plain.instructions
