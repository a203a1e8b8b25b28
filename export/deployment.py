"""The deployment report: what a network needs, in numbers (JSON) and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from export.boards import BOARDS, DEPTHWISE, estimate
from export.c import cmsis_nn
from export.c.arena import Arena
from export.c.arithmetic import Convolution, Program, Step
from records.text import markdown_cell


def needs(
    program: Program,
    arena: Arena,
    measured: int | None,
    instructions: int | None,
    with_cmsis_nn: int | None = None,
) -> dict[str, Any]:
    """Return flash, RAM, layers and boards of the C code.

    Args:
        program: The network.
        arena: Its plan of memory.
        measured: Bytes of the compiled object; None: no compiler here.
        instructions: Of one image, counted in QEMU; None: not run.
        with_cmsis_nn: The same with -DNETWORK_CMSIS_NN.
    """
    constants = program.sizes()
    flash: dict[str, Any] = dict(constants)
    flash["code"] = None if measured is None else measured - sum(constants.values())
    flash["total"] = sum(constants.values()) if measured is None else measured
    height, width, channels = program.input_shape
    ram = {
        "arena": arena.bytes,
        "arena_least": arena.least,
        "input": height * width * channels,
        "scores": 2 * len(program.classes),
        "cmsis_nn": cmsis_nn.buffer_bytes(program),
    }
    layers = [_layer(program, step) for step in program.steps]
    macs = {
        kind: sum(layer["macs"] for layer in layers if layer["depthwise"] == (kind == "depthwise"))
        for kind in ("plain", "depthwise")
    }
    total = sum(ram[each] for each in ("arena", "input", "scores"))
    return {
        "flash": flash,
        "ram": ram,
        "macs": macs,
        "layers": layers,
        "instructions_qemu": instructions,
        "instructions_qemu_cmsis_nn": with_cmsis_nn,
        "boards": [
            estimate(board, macs, flash=flash["total"], ram=total, plain=instructions) for board in BOARDS
        ],
    }


def _layer(program: Program, step: Step) -> dict[str, Any]:
    op = step.op
    kind = type(op).__name__.lower()
    depthwise = isinstance(op, Convolution) and op.depthwise
    if isinstance(op, Convolution):
        taps = "x".join(map(str, op.weight.shape[1:3]))
        kind = f"{'transposed ' if op.transposed else 'depthwise ' if depthwise else ''}convolution {taps}"
    return {
        "name": step.name,
        "kind": kind,
        "depthwise": depthwise,
        "output": list(step.shape),
        "macs": step.macs(program.shape(step.inputs[0])),
        "weights": op.weight.size if isinstance(op, Convolution) else 0,
    }


def markdown(name: str, parts: dict[str, Any]) -> str:
    """Return deployment.md.

    Args:
        name: Of the network.
        parts: What `export.perform` found, by target; of earlier exports as well.
    """
    lines = [f"# Deployment of {markdown_cell(name)}", ""]
    lines += _accuracies(parts)
    if (tuned := _tuned(parts)) is not None:
        lines += _fine_tuning(tuned)
    if "int8" in parts:
        lines += _int8(parts["int8"])
    if "c" in parts:
        lines += [*_memory(parts["c"]), *_boards(parts["c"]), *_layers(parts["c"])]
    return "\n".join(lines).rstrip() + "\n"


_LABELS = {
    "onnx": "float32 (onnxruntime)",
    "int8": "int8 (onnxruntime, QDQ)",
    "tflite": "float32 (TFLite, by LiteRT)",
    "c": "int8 (the arithmetic of the C code)",
}


def is_sound(target: str, part: Any) -> bool:
    """Return whether a part of a record has every field that the report shows."""
    try:
        markdown("", {target: part})
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    return target in (*_LABELS, "html")


def _accuracies(parts: dict[str, Any]) -> list[str]:
    """Return a table for each choice of images: accuracies of different images do not compare."""
    lines = []
    for images in dict.fromkeys(part["images"] for part in parts.values()):
        lines += _on_same_images({name: part for name, part in parts.items() if part["images"] == images})
    return lines


def _on_same_images(parts: dict[str, Any]) -> list[str]:
    first = next(iter(parts.values()))
    rows: list[tuple[str, ...]] = []
    if first["reference"] is not None:
        rows.append(("float32 (torch)", *_shares(first["reference"]), "", ""))
    if (tuned := _tuned(parts)) is not None and tuned["judged"] is not None:
        rows.append(("int8 before --qat (simulated)", *_shares(tuned["judged"]["before"]), "", ""))
    labels = {target: label + _after(parts[target]) for target, label in _LABELS.items() if target in parts}
    for target, label in labels.items():
        part = parts[target]
        speed = part.get("milliseconds")
        size = f"{part['bytes'] / 1000:,.1f}"
        rows.append((label, *_shares(part["accuracy"]), size, "" if speed is None else f"{speed:.2f}"))
    head = ("network", "accuracy", "95 % interval", "kB", "CPU ms, 1 image, 1 thread")
    lines = [
        f"Measured on {markdown_cell(first['images'])}; the same images in every row.",
        "",
        *_table(head, rows),
        "",
    ]
    measured = {
        label: parts[target]["accuracy"]["per_class"]
        for target, label in labels.items()
        if parts[target]["accuracy"] is not None
    }
    if measured:
        classes = next(iter(measured.values()))
        rows = [
            (markdown_cell(name), *(f"{each[name]:.1%}" for each in measured.values())) for name in classes
        ]
        lines += ["## Accuracy by class", "", *_table(("class", *measured), rows), ""]
    return lines


def _after(part: dict[str, Any]) -> str:
    """Return what a form that was fine-tuned is called besides; one of an earlier export may not be."""
    return ", after --qat" if part.get("qat") is not None else ""


def _tuned(parts: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of `--qat`, which every int8 part has."""
    found: list[dict[str, Any]] = [part["qat"] for part in parts.values() if part.get("qat") is not None]
    return found[0] if found else None


def _fine_tuning(tuned: dict[str, Any]) -> list[str]:
    recipe, validation = tuned["recipe"], tuned["validation"]
    before, after = validation["before"], validation["after"]
    lines = [
        "## Fine-tuning with the roundings of int8 (--qat)",
        "",
        f"{tuned['epochs']} epochs on {tuned['images']:,} training images, AdamW at "
        f"{recipe['learning_rate']:g} and below, batches of {recipe['batch_size']}, "
        f"augmentation {recipe['policy']!r}, seed {tuned['seed']}. The scales are those of the calibration "
        "before it. int8 on the images held out for validation, simulated in floating point:",
        "",
        *_table(
            ("validation", "accuracy", "95 % interval"),
            [("before", *_shares(before)), ("after", *_shares(after))],
        ),
        "",
    ]
    if validation["learned"]:
        lines += ["The run itself learned from these images (--full): both figures are too high.", ""]
    if after["accuracy"] < before["accuracy"]:
        lines += ["**It lost accuracy there**: leave --qat out, or lower --qat-rate.", ""]
    return lines


def _shares(found: dict[str, Any] | None) -> tuple[str, str]:
    if found is None:
        return "not measured", ""
    low, high = found["interval95"]
    return f"{found['accuracy']:.2%}", f"{low:.2%} to {high:.2%}"


def _int8(part: dict[str, Any]) -> list[str]:
    lines = ["## int8 (model-int8.onnx)", ""]
    how = "MinMax" if part.get("qat") is None else "the scales of the C code"
    lines.append(f"Calibrated on {markdown_cell(part['calibration'])}; {how}, weights per channel.")
    if part["float"]:
        why = "onnxruntime has no int8 kernel for them, or nothing reads them in int8"
        lines += ["", f"Results that stay in float32, because {why}: {', '.join(part['float'])}."]
    if part["slower"]:
        why = (
            "causes are SiLU, GELU and hard-swish, which are computed in float32 between two quantisations, "
            "and processors with few int8 instructions"
        )
        way_out = "The C code has tables for them; for onnxruntime take ReLU or ReLU6, or the float32 file"
        lines += ["", f"**int8 is slower than float32 here** ({part['slower']}): {why}. {way_out}."]
    if not part["errors"]:
        return [*lines, ""]
    worst = sorted(part["errors"], key=lambda each: float(each["decibels"]))[:8]
    text = (
        "Tensors that lose most, on calibration images (signal to noise; at 20 dB the error is a tenth of "
        "the signal):"
    )
    rows = [(markdown_cell(each["name"]), f"{each['decibels']:.1f}") for each in worst]
    return [*lines, "", text, "", *_table(("tensor", "dB"), rows), ""]


def _memory(part: dict[str, Any]) -> list[str]:
    flash, ram = part["flash"], part["ram"]
    code = "not measured: no arm-none-eabi-gcc" if flash["code"] is None else f"{flash['code']:,}"
    rows = [(name, f"{flash[name]:,}") for name in ("weights", "biases", "multipliers", "tables")]
    total = "flash, without the code" if flash["code"] is None else "flash"
    rows += [("code and structures, -O2, Cortex-M4", code), (f"**{total}**", f"**{flash['total']:,}**")]
    lines = ["## C (c/network.c)", "", f"Calibrated on {markdown_cell(part['calibration'])}.", ""]
    lines += [*_table(("flash", "bytes"), rows), ""]
    rows = [("arena (activations, as planned)", f"{ram['arena']:,}")]
    rows += [(name, f"{ram[name]:,}") for name in ("input", "scores")]
    least = (
        f"Values that are alive at once take at least {ram['arena_least']:,} bytes; the stack is not counted."
    )
    lines += [*_table(("RAM", "bytes"), rows), "", least]
    if ram["cmsis_nn"]:
        lines.append(f"-DNETWORK_CMSIS_NN needs {ram['cmsis_nn']:,} bytes more, a buffer of its own.")
    return [*lines, ""]


def _boards(part: dict[str, Any]) -> list[str]:
    macs, instructions = part["macs"], part["instructions_qemu"]
    lines = [
        "## Boards (estimate)",
        "",
        f"{sum(macs.values()):,} MACs, {macs['depthwise']:,} of them depthwise. Cycles a MAC are those of",
        "optimised kernels (CMSIS-NN, X-CUBE-AI); the C loops as written here need more. A depthwise MAC",
        f"counts {DEPTHWISE[0]:g} to {DEPTHWISE[1]:g} times (a judgement).",
        "",
    ]
    rows = [
        (
            board["board"],
            f"{board['core']}, {board['megahertz']} MHz",
            "yes" if board["fits"] else "**no**",
            _range(board["cycles"], 1e6),
            _range(board["milliseconds"], 1),
            board["source"],
        )
        for board in part["boards"]
    ]
    lines += [*_table(("board", "core", "fits", "M cycles", "ms", "source of the cycles a MAC"), rows), ""]
    for board in part["boards"]:
        if board["milliseconds_plain_c"] is not None:
            low, high = board["milliseconds_plain_c"]
            lines.append(
                f"The C loops as they are, {instructions:,} instructions an image (QEMU, Cortex-M4, -O2): "
                f"{low:,} to {high:,} ms on a {board['board']}, at 1 to 2 cycles an instruction."
            )
    if (faster := part["instructions_qemu_cmsis_nn"]) is not None:
        lines.append(
            f"With CMSIS-NN (-DNETWORK_CMSIS_NN) it takes {faster:,} instructions, counted the same way."
        )
    if part["emulated"]:
        lines.append(f"Run in QEMU on {part['emulated']:,} images: every score is that of the interpreter.")
    return [*lines, ""]


def _layers(part: dict[str, Any]) -> list[str]:
    rows = [
        (
            markdown_cell(each["name"]),
            each["kind"],
            "x".join(map(str, each["output"])),
            f"{each['macs']:,}",
            f"{each['weights']:,}",
            f"{error:.1f}",
        )
        for each, error in zip(part["layers"], part["errors"], strict=True)
    ]
    text = "The last column is int8 against float32 on calibration images: signal to noise in decibels."
    head = ("layer", "operator", "output (h, w, c)", "MACs", "weights", "dB")
    return ["## Layers", "", text, "", *_table(head, rows), ""]


def _range(values: Sequence[float], by: float) -> str:
    return " to ".join(f"{value / by:.0f}" for value in values)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *cells]
