"""Published networks, exported to ONNX and read back: are the rows those of torch?

    python -m benchmarks.onnx_rows [NAME ...] [--json FILE]

Of every network of torchvision that is named (20 by default): the rows in order, each with its output,
parameters, MACs and field. The export keeps the norms (optimize=False), since a norm that is folded away has
no row. Concatenations of a single input and layers that do not run in eval mode, which ONNX leaves out, are
left out here too; an adaptive average pooling is compared as the average pooling that ONNX makes of it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import onnx
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torchvision import models

import rfcalc
from rfcalc.onnx.module import OnnxNetwork
from rfcalc.onnx.read import read

NAMES = (
    *("alexnet", "vgg11_bn", "squeezenet1_1", "googlenet", "inception_v3"),
    *("resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet0_5", "shufflenet_v2_x0_5"),
    *("efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "regnet_x_400mf", "convnext_tiny"),
)
SIZE = (3, 224, 224)


def rows(network: nn.Module) -> tuple[list[tuple[Any, ...]], rfcalc.Analysis]:
    """Return what is compared of each row, and the analysis."""
    analysis = rfcalc.analyze(network, input_size=SIZE)
    found = []
    before: tuple[Any, ...] = ()
    for row in analysis.rows:
        facts = (
            row.op.removeprefix("adaptive "),
            row.output_shape,
            row.params,
            row.macs,
            row.field.size,
            row.field.jump,
            row.field.start,
        )
        if row.op == "concat" and before and facts[1:] == (before[1], 0, 0, *before[4:]):
            continue  # of a single input
        if row.op == "unused":
            continue
        found.append(facts)
        before = facts
    return found, analysis


def compared(name: str) -> dict[str, Any]:
    """Export one network, read it back and compare."""
    network = models.get_model(name, weights=None).eval()
    began = time.perf_counter()
    program = torch.onnx.export(network, (torch.zeros(1, *SIZE),), dynamo=True, optimize=False, verbose=False)
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(program.model_proto, str(path))
        ours, analysis = rows(OnnxNetwork(read(path)).eval())
    theirs, expected = rows(network)
    different = [(a, b) for a, b in zip(ours, theirs, strict=False) if a != b]
    return {
        "network": name,
        "rows": len(theirs),
        "equal": ours == theirs,
        "params": [
            analysis.params,
            expected.params - sum(row.params for row in expected.rows if row.op == "unused"),
        ],
        "macs": [analysis.macs, expected.macs],
        "field": [list(analysis.field.size), list(expected.field.size)],
        "first_difference": str(different[0])
        if different
        else None
        if len(ours) == len(theirs)
        else "length",
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console()
    table = Table("network", "rows", "equal rows", "parameters", "MACs", "field")
    results = []
    for name in options.names:
        try:
            found = compared(name)
        except rfcalc.RfcalcError as error:
            console.print(name, "not read:", str(error), markup=False)
            results.append({"network": name, "not_read": str(error)})
            continue
        results.append(found)
        same = {
            key: "equal" if found[key][0] == found[key][1] else str(found[key])
            for key in ("params", "macs", "field")
        }
        table.add_row(
            name, str(found["rows"]), str(found["equal"]), same["params"], same["macs"], same["field"]
        )
        console.print(
            name, found["equal"], found["first_difference"] or "", f"{found['seconds']} s", markup=False
        )
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
