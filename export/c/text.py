"""network.h and network.c: the program as C99 text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.c import cmsis_nn
from export.c.arena import Arena
from export.c.arithmetic import (
    Add,
    Concat,
    Convolution,
    Mean,
    Multiply,
    Program,
    Rescale,
    Slice,
    Step,
    Table,
)

_KERNELS = tuple(Path(__file__).with_name(name) for name in ("kernels.c", "cmsis_nn.c"))
MAIN = Path(__file__).with_name("main.c")
_WIDTH = 108
_NEEDS = {
    "convolution": ("convolve",),
    "transposed_convolution": ("transpose",),
    "linear_scores": ("convolve",),
    "cmsis_nn": ("convolve", "convolution"),
    "mean": ("averaged",),
    "mean_scores": ("averaged",),
}
"""Sections of the kernels that another one calls; `types`, `rescale` and `normalise` are always there."""
_SAME = Rescale(2**30, 30)
_SHOWN = {False: "NETWORK_CONVOLUTION", True: "CMSIS_NN_CONVOLUTION"}
"""How the code calls a convolution, by whether CMSIS-NN computes the same."""


def header(program: Program, arena: Arena) -> str:
    """Return network.h."""
    height, width, channels = program.input_shape
    return f"""/* {comment(program.name)}: int8 inference in C99 without a heap. Written by rfcalc export. */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdint.h>

#define NETWORK_HEIGHT {height}
#define NETWORK_WIDTH {width}
#define NETWORK_CHANNELS {channels}
#define NETWORK_INPUT_BYTES {height * width * channels}
#define NETWORK_CLASSES {len(program.classes)}
#define NETWORK_ARENA_BYTES {arena.bytes}
/* A score times this is a logit. */
#define NETWORK_SCORE_SCALE {program.score_scale!r}f
{cmsis_nn.definition(program)}
extern const char *const network_classes[NETWORK_CLASSES];

/* pixels: RGB, 0-255, row by row; the normalisation is inside. Not reentrant: there is one arena. */
void network_run(const uint8_t pixels[NETWORK_INPUT_BYTES], int16_t scores[NETWORK_CLASSES]);

/* 0 where a stored image has the stored scores. Leave it out of the flash with -DNETWORK_NO_SELF_TEST. */
int network_self_test(void);

#endif
"""


def source(
    program: Program, arena: Arena, image: npt.NDArray[np.uint8], scores: npt.NDArray[np.int16]
) -> str:
    """Return network.c.

    Args:
        program: The network.
        arena: Where its values lie.
        image: (H, W, 3), of the self-test.
        scores: (classes,), the interpreter's for that image.
    """
    constants: list[str] = []
    calls: list[str] = []
    used: dict[str, None] = {}
    tables: dict[bytes, str] = {}
    for number, step in enumerate(program.steps):
        _Writer(program, arena, number, step, constants, calls, used, tables).write()
    classes = ",\n".join(f"    {literal(name)}" for name in program.classes)
    pixel_rows = ",\n".join("    {" + _numbers(row, 8).strip() + "}" for row in program.pixels)
    parts = [
        f"/* {comment(program.name)}. Written by rfcalc export; docs/export.md describes the arithmetic. */",
        '#include "network.h"',
        _sections(("types", "rescale")),
        f"static const int8_t pixel_values[3][256] = {{\n{pixel_rows},\n}};",
        _sections(("normalise", *_closed(used))),
        "\n".join(constants),
        f"const char *const network_classes[NETWORK_CLASSES] = {{\n{classes},\n}};",
        "static int8_t arena[NETWORK_ARENA_BYTES];",
        "void network_run(const uint8_t pixels[NETWORK_INPUT_BYTES], int16_t scores[NETWORK_CLASSES])\n{\n"
        f"    normalise(pixels, arena + {arena.places[0]}, NETWORK_HEIGHT * NETWORK_WIDTH);\n"
        + "\n".join(calls)
        + "\n}",
        _self_test(image, scores, "cmsis_nn" in used),
    ]
    return "\n\n".join(parts) + "\n"


class _Writer:
    """Writes the constants and the call of one step."""

    def __init__(
        self,
        program: Program,
        arena: Arena,
        number: int,
        step: Step,
        constants: list[str],
        calls: list[str],
        used: dict[str, None],
        tables: dict[bytes, str],
    ) -> None:
        self._program, self._step, self._number = program, step, number
        self._constants, self._calls, self._used, self._tables = constants, calls, used, tables
        self._shapes = [program.shape(value) for value in step.inputs]
        self._zeros = [program.scale(value).zero for value in step.inputs]
        self._inputs = [f"arena + {arena.places[value]}" for value in step.inputs]
        self._last = number == len(program.steps) - 1
        self._output = "scores" if self._last else f"arena + {arena.places[number + 1]}"
        self._zero = step.scale.zero

    def write(self) -> None:
        step, op = self._step, self._step.op
        count = math.prod(step.shape)
        match op:
            case Convolution():
                self._convolution(op)
            case Table():
                name = self._tables.get(op.results.tobytes())
                if name is None:
                    name = self._tables[op.results.tobytes()] = f"table_{self._number}"
                    self._array("int8_t", name, op.results)
                self._call("table", name, self._inputs[0], self._output, count)
            case Add():
                values = (op.first, op.second, *self._zeros, op.shift, self._zero, op.low, op.high)
                self._struct("Add", values)
                self._call("add", self._at, *self._inputs, self._output, count)
            case Multiply():
                period = math.prod(self._shapes[1])
                self._struct("Multiply", (_braced(op.rescale), *self._zeros, self._zero, period))
                self._call("multiply", self._at, *self._inputs, self._output, count)
            case Concat():
                self._concat(op)
            case Slice():
                self._copy(0, op.start, step.shape[2], 0, _SAME, 0)
            case Mean():
                height, width, channels = self._shapes[0]
                by = _braced(op.rescale)
                self._struct("Mean", (height * width, channels, self._zeros[0], self._zero, by))
                self._call("mean_scores" if self._last else "mean", self._at, self._inputs[0], self._output)

    @property
    def _at(self) -> str:
        return f"&layer_{self._number}"

    def _convolution(self, op: Convolution) -> None:
        number = self._number
        self._array("int8_t", f"weights_{number}", op.weight)
        self._array("int32_t", f"bias_{number}", op.bias)
        self._array("int32_t", f"multipliers_{number}", [by.multiplier for by in op.rescales])
        self._array("int8_t", f"shifts_{number}", [by.shift for by in op.rescales])
        maps = ("{" + ", ".join(map(str, shape)) + "}" for shape in (self._shapes[0], self._step.shape))
        numbers = (
            *op.weight.shape[1:3],
            *op.stride,
            *op.dilation,
            *op.padding,
            op.groups,
            self._zeros[0],
            self._zero,
        )
        arrays = (f"{name}_{number}" for name in ("weights", "bias", "multipliers", "shifts"))
        self._struct("Convolution", (*maps, *numbers, op.low, op.high, *arrays))
        if self._last:
            self._call("linear_scores", self._at, self._inputs[0], self._output)
        elif op.transposed:
            self._call("transposed_convolution", self._at, self._inputs[0], self._output)
        else:
            exact = cmsis_nn.computes(self._program, self._step)
            kernel, shown = ("cmsis_nn" if exact else "convolution"), _SHOWN[exact]
            self._call(kernel, self._at, self._inputs[0], self._output, shown=shown)

    def _concat(self, op: Concat) -> None:
        offset = 0
        for part, by in enumerate(op.rescales):
            count = self._shapes[part][2]
            self._copy(part, 0, count, offset, by, part)
            offset += count

    def _copy(self, source: int, start: int, count: int, offset: int, by: Rescale, part: int) -> None:
        height, width, channels = self._shapes[source]
        values = (height * width, channels, start, count, self._step.shape[2], offset)
        self._struct("Channels", (*values, self._zeros[source], self._zero, _braced(by)), part)
        self._call("channels", f"{self._at}_{part}" if part else self._at, self._inputs[source], self._output)

    def _struct(self, kind: str, values: Iterable[object], part: int = 0) -> None:
        name = f"layer_{self._number}_{part}" if part else f"layer_{self._number}"
        self._constants.append(f"static const {kind} {name} = {{{', '.join(map(str, values))}}};")

    def _array(self, kind: str, name: str, values: npt.ArrayLike) -> None:
        flat = np.asarray(values).reshape(-1)
        self._constants.append(f"static const {kind} {name}[{len(flat)}] = {{\n{_numbers(flat, 4)}\n}};")

    def _call(self, kernel: str, *arguments: object, shown: str | None = None) -> None:
        self._used[kernel] = None
        text = ", ".join(map(str, arguments))
        self._calls.append(f"    {shown or kernel}({text}); /* {comment(self._step.name)} */")


def _braced(by: Rescale) -> str:
    return f"{{{by.multiplier}, {by.shift}}}"


def _self_test(image: npt.NDArray[np.uint8], scores: npt.NDArray[np.int16], calls_cmsis_nn: bool) -> str:
    pixels, expected = _numbers(image.reshape(-1), 4), _numbers(scores, 4)
    function = _sections(("cmsis_nn_test",)) + "\n\n" if calls_cmsis_nn else ""
    call = cmsis_nn.SELF_TEST if calls_cmsis_nn else ""
    return f"""#ifndef NETWORK_NO_SELF_TEST
{function}int network_self_test(void)
{{
    static const uint8_t pixels[NETWORK_INPUT_BYTES] = {{
{pixels}
    }};
    static const int16_t expected[NETWORK_CLASSES] = {{
{expected}
    }};
    int16_t scores[NETWORK_CLASSES];
{call}    network_run(pixels, scores);
    for (int number = 0; number < NETWORK_CLASSES; number++) {{
        if (scores[number] != expected[number]) {{
            return 1;
        }}
    }}
    return 0;
}}
#endif"""


def _numbers(values: Iterable[int], indent: int) -> str:
    """Return numbers in lines of a readable length."""
    lines, line = [], ""
    for value in values:
        text = f"{int(value)},"
        if len(line) + len(text) + indent >= _WIDTH:
            lines.append(line.rstrip())
            line = ""
        line += f"{text} "
    return "\n".join(" " * indent + each for each in [*lines, line.rstrip()])


def _closed(used: Iterable[str]) -> list[str]:
    """Return the sections of the kernels that are called, each after what it calls."""
    found: dict[str, None] = {}
    for kernel in used:
        for each in (*_NEEDS.get(kernel, ()), kernel):
            found[each] = None
    return list(found)


def _sections(names: Iterable[str]) -> str:
    found = dict(
        re.findall(
            r"/\* section: (\w+) \*/\n(.*?)(?=/\* section: |\Z)",
            "".join(file.read_text(encoding="utf-8") for file in _KERNELS),
            re.DOTALL,
        )
    )
    return "\n\n".join(found[name].strip() for name in names)


def comment(text: str) -> str:
    """Return a name as it may stand in a comment: what could end one is replaced."""
    return re.sub(r"[^\w .,:+()-]", "_", text, flags=re.ASCII) or "network"


def literal(text: str) -> str:
    """Return a C string literal of UTF-8; all but letters, digits and blanks are octal escapes."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-"
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'
