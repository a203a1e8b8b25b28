"""Probes of receptive fields, counts, structure and inputs: points 13 to 21 and 23."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .common import Observation, analysis, case, field_text, is_one_line, last_line, main, network, probe, run


def _field(name: str, size: tuple[int, ...], expected: tuple[int, ...], jump: int | None) -> Observation:
    field = analysis(case(name), *size).field
    holds = field.size == expected and (jump is None or field.jump == (jump,) * len(expected))
    return Observation(holds, field_text(field))


@probe("13 class token")
def class_token(folder: Path) -> Observation:
    return _field("a1_cls_token.py", (3, 64, 64), (12, 12), 8)


@probe("13 nothing verified")
def nothing_verified(folder: Path) -> Observation:
    body = "class Net(nn.Module):\n    def forward(self, x): return x.argmax(-1)\n"
    done = run(["-m", "rfcalc", network(folder, body), "--verify", "--no-budget"], folder)
    return Observation(done.returncode != 0, f"--verify without gradients: exit {done.returncode}")


@probe("14 odd gate")
def odd_gate(folder: Path) -> Observation:
    result = analysis(case("b1_gate_odd.py"), 3, 7, 7)
    name = result.rows[result.field_row].name
    return Observation(name == "mul" and result.field.jump == (1, 1), f"{name}: {field_text(result.field)}")


@probe("14 spatial transformer")
def spatial_transformer(folder: Path) -> Observation:
    result = analysis(case("b3_stn.py"), 1, 28, 28)
    field, name = result.field, result.rows[result.field_row].name
    holds = name == "c" and field.is_global and field.size == (3, 3)
    return Observation(holds, f"{name}: {field_text(field)}")


@probe("15 halo attention")
def halo(folder: Path) -> Observation:
    result = analysis(case("c1_halo.py"), 3, 16, 16)
    return Observation(result.field.size == (6, 6) and not result.field.is_global, field_text(result.field))


@probe("15 relative positions")
def relative_positions(folder: Path) -> Observation:
    return _field("c2_botnet_relpos.py", (3, 8, 8), (3, 3), 1)


@probe("16 fold")
def fold(folder: Path) -> Observation:
    return _field("d1_outlook_fold.py", (3, 32, 32), (5, 5), 1)


@probe("16 max unpooling")
def max_unpooling(folder: Path) -> Observation:
    field = analysis(case("d2_maxunpool.py"), 3, 32, 32).output
    holds = not field.is_global and max(field.size) <= 8 and "data-dependent" in field.flags
    return Observation(holds, field_text(field))


@probe("16 complex convolution")
def complex_convolution(folder: Path) -> Observation:
    return _field("d3_complex_conv.py", (3, 32, 32), (5, 5), 1)


@probe("17 layer on a constant")
def layer_on_a_constant(folder: Path) -> Observation:
    result = analysis(case("e1_constant_operand.py"), 3, 16, 16)
    rows = {row.name: row.params for row in result.rows}
    named = "".join(f"; left out: {name}" for name in result.uncounted) or "; nothing left out"
    holds = rows.get("pos") == 264 and bool(result.uncounted)
    return Observation(holds, f"{result.macs:,} MACs{named}; row pos: {rows.get('pos')}")


@probe("17 LSTM")
def lstm(folder: Path) -> Observation:
    macs = analysis(case("e3_lstm.py"), 8, 50).macs
    return Observation(macs == 76_800, f"{macs:,} MACs of 76,800")


@probe("17 attention products")
def attention_products(folder: Path) -> Observation:
    body = (
        "class Net(nn.Module):\n    def forward(self, x):\n        t = x.flatten(2).transpose(1, 2)\n"
        "        return (t @ t.transpose(1, 2)).softmax(-1) @ t\n"
    )
    done = run(["-m", "rfcalc", network(folder, body), "--count-all", "--no-budget"], folder)
    return Observation(done.returncode == 0, f"--count-all: {last_line(done)}")


@probe("18 branch by value")
def branch_by_value(folder: Path) -> Observation:
    words: list[str | Path] = ["-m", "rfcalc", case("f1_dynamic_flow.py"), "--no-budget"]
    texts = {run(words, folder).stdout for _ in range(2)}
    said = all("branches on them" in " ".join(text.split()) for text in texts)
    return Observation(said, "both ways are reported" if said else "no word about the branch")


@probe("18 numpy detour")
def numpy_detour(folder: Path) -> Observation:
    field = analysis(case("f2_numpy_detour.py"), 3, 32, 32).output
    return Observation(field.size != (0, 0), field_text(field))


@probe("18 unused parameters")
def unused_parameters(folder: Path) -> Observation:
    result = analysis(case("f3_unused_parameters.py"), 3, 32, 32)
    total = sum(row.params for row in result.rows)
    return Observation(total == result.params, f"rows add up to {total:,} of {result.params:,}")


def _refused(name: str, words: str, folder: Path) -> Observation:
    done = run(["-m", "rfcalc", case(name), "--no-budget"], folder)
    # PyTorch itself warns that both are deprecated, in lines of its own.
    return Observation(done.returncode == 2 and words in last_line(done, 400), last_line(done))


@probe("19 TorchScript")
def torchscript(folder: Path) -> Observation:
    return _refused("g1_jit_script.py", "name the eager module", folder)


@probe("19 lazy modules")
def lazy_modules(folder: Path) -> Observation:
    params = analysis(case("g2_lazy.py"), 3, 32, 32).params
    return Observation(params == 82_154, f"{params:,} parameters")


@probe("19 quantised")
def quantised(folder: Path) -> Observation:
    return _refused("g4_quantised.py", "quantised", folder)


@probe("19 src layout")
def src_layout(folder: Path) -> Observation:
    done = run(["-m", "rfcalc", case("g5_src_layout") / "src" / "net.py", "--no-budget"], folder)
    return Observation(done.returncode == 0, last_line(done))


@probe("19 detector")
def detector(folder: Path) -> Observation:
    # What a detector does with the boxes that it finds, where it finds none: by random weights, Faster R-CNN
    # itself meets this in some runs alone.
    body = (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.c, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 7)\n"
        "    def forward(self, x):\n        y = self.c(x).flatten(2).permute(0, 2, 1)\n"
        "        kept = y[y[..., 0] > 1e9]\n"
        "        boxes = kept.reshape(0, 2, 2).reshape(2, 0, 2).flatten(1)\n"
        "        return y, boxes, self.head(kept).softmax(-1), kept.view(-1, 4, 1).expand(0, 4, 5)\n"
    )
    done = run(["-m", "rfcalc", network(folder, body), "--input", "3x8x8", "--no-budget"], folder)
    return Observation(done.returncode == 0, last_line(done))


@probe("19 weights are no model")
def weights_are_no_model(folder: Path) -> Observation:
    path = folder / "weights.pt"
    path.write_bytes(b"PK\x03\x04")
    done = run(["-m", "rfcalc", path, "--no-budget"], folder)
    return Observation(is_one_line(done) and "without the code" in done.stderr, last_line(done))


@probe("19 map of 1x1")
def map_of_one_place(folder: Path) -> Observation:
    body = "model = nn.AdaptiveAvgPool2d(1)\n"
    seen = analysis(network(folder, body), 3, 8, 8).output.inputs_seen(0, 0)
    return Observation(len(seen[0]) == 8, f"inputs_seen(0, 0): {len(seen[0])} rows")


@probe("20 squeeze is no pooling")
def squeeze_is_no_pooling(folder: Path) -> Observation:
    done = run(["-m", "rfcalc", case("h1_se_is_no_gap.py"), "--require-gap"], folder)
    return Observation(done.returncode == 1, f"--require-gap: exit {done.returncode} (1: broken)")


@probe("20 norms are no stages")
def norms_are_no_stages(folder: Path) -> Observation:
    done = run(["-m", "rfcalc", case("h2_stages_norms.py"), "--stages", "4"], folder)
    return Observation(done.returncode == 0, f"--stages 4: exit {done.returncode}")


@probe("20 gate in a pair")
def gate_in_a_pair(folder: Path) -> Observation:
    done = run(["-m", "rfcalc", case("h3_mbconv_se.py"), "--min-depthwise-separable", "1"], folder)
    return Observation(done.returncode == 0, f"--min-depthwise-separable 1: exit {done.returncode}")


@probe("21 two inputs")
def two_inputs(folder: Path) -> Observation:
    words: list[str | Path] = [
        "-m",
        "rfcalc",
        case("g3_two_inputs.py"),
        "--input",
        "3x32x32",
        "--input",
        "1x32x32",
    ]
    done = run([*words, "--no-budget"], folder)
    return Observation(done.returncode == 0, last_line(done))


@probe("21 tokens")
def tokens(folder: Path) -> Observation:
    body = (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.e, self.c = nn.Embedding(100, 8), nn.Conv1d(8, 8, 5)\n"
        "    def forward(self, ids): return self.c(self.e(ids).transpose(1, 2))\n"
    )
    done = run(["-m", "rfcalc", network(folder, body), "--input", "tokens:128", "--no-budget"], folder)
    return Observation(done.returncode == 0, last_line(done))


@probe("21 imported class")
def imported_class(folder: Path) -> Observation:
    network(folder, "class Net(nn.Conv2d):\n    def __init__(self): super().__init__(3, 8, 3)\n")
    main_file = folder / "main.py"
    main_file.write_text("from net import Net\n\nif __name__ == '__main__':\n    Net()\n")
    done = run(["-m", "rfcalc", main_file, "--no-budget"], folder)
    return Observation(done.returncode == 0, last_line(done))


@probe("21 notebook")
def notebook(folder: Path) -> Observation:
    source = (
        "from torch import nn\nclass Net(nn.Conv2d):\n    def __init__(self): super().__init__(3, 8, 3)\n"
    )
    cell: dict[str, object] = {
        "cell_type": "code",
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    path = folder / "net.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    done = run(["-m", "rfcalc", path, "--no-budget"], folder)
    return Observation(done.returncode == 0, last_line(done))


@probe("23 frame of a unit")
def frame_of_a_unit(folder: Path) -> Observation:
    result = analysis(Path("examples/decoder.py").resolve(), 3, 32, 32)
    (row,) = (row for row in result.rows if row.name == "up1")
    seen = row.field.inputs_seen(9, 9)[0]
    spans = getattr(row.field, "spans", None)  # before there were any, a page drew start + unit * jump
    first, extent = (
        (row.field.start[0] + 9 * row.field.jump[0], row.field.size[0]) if spans is None else spans[0].at(9)
    )
    text = f"up1, unit 9 sees {min(seen)}..{max(seen)}, its frame is {first}..{first + extent - 1}"
    return Observation((first, first + extent - 1) == (min(seen), max(seen)), text)


if __name__ == "__main__":
    main(*sys.argv[1:])
