"""rfcalc beside torchinfo, fvcore, thop, torch-scan and the RFA toolbox: the figures that each gives.

    pip install fvcore thop torchscan rfa-toolbox      # any may be missing; its row then says so
    python -m benchmarks.tools_side_by_side [--json FILE]

Three networks: examples/c1c2c3c4.py (dilation, depthwise layers), resnet18 of torchvision (skips) and
examples/decoder.py (transposed convolutions). For each tool: parameters, MACs, and the receptive field of the
last features before global pooling. The row "gradients" is none of the tools: the extent of the float64
gradient of one unit, with positive weights, so that nothing cancels. "-": the tool has no such figure.
"""

from __future__ import annotations

import argparse
import collections
import collections.abc
import importlib.metadata
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

import rfcalc

ROOT = Path(__file__).resolve().parents[1]
Figures = tuple[int | None, int | None, int | None]
"""Parameters, MACs, receptive field; None where a tool has no such figure."""


@dataclass(frozen=True)
class Subject:
    """One network: how it is built, its input, and the module whose output is the last features."""

    build: Callable[[], nn.Module]
    size: tuple[int, int, int]
    features: str


SUBJECTS = {
    "c1c2c3c4": Subject(lambda: rfcalc.load_model(str(ROOT / "examples" / "c1c2c3c4.py")), (3, 32, 32), "c4"),
    "resnet18": Subject(lambda: torchvision.models.resnet18(weights=None), (3, 224, 224), "layer4"),
    "decoder": Subject(lambda: rfcalc.load_model(str(ROOT / "examples" / "decoder.py")), (3, 32, 32), "head"),
}


def of_rfcalc(model: nn.Module, subject: Subject) -> Figures:
    found = rfcalc.analyze(model, input_size=subject.size)
    return found.params, found.macs, min(found.field.size)


def of_torchinfo(model: nn.Module, subject: Subject) -> Figures:
    import torchinfo

    found = torchinfo.summary(model, (1, *subject.size), verbose=0)
    return int(found.total_params), int(found.total_mult_adds), None


def of_fvcore(model: nn.Module, subject: Subject) -> Figures:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    # One multiply-accumulate is one "flop" there.
    count = FlopCountAnalysis(model, torch.zeros(1, *subject.size)).unsupported_ops_warnings(False)
    return int(parameter_count(model)[""]), int(count.total()), None


def of_thop(model: nn.Module, subject: Subject) -> Figures:
    import thop

    macs, params = thop.profile(model, inputs=(torch.zeros(1, *subject.size),), verbose=False)
    return int(params), int(macs), None


def of_torchscan(model: nn.Module, subject: Subject) -> Figures:
    import torchscan

    found = torchscan.crawl_module(model, subject.size)
    layers = [
        _value(layer["metrics"].get("receptive_field"))
        for layer in found["layers"]
        if layer["path"].startswith(subject.features)
    ]
    known = [value for value in layers if value is not None]
    totals = found["totals"]
    return int(totals["parameters"]["value"]), _value(totals.get("macs")), max(known, default=None)


def _value(metric: Any) -> int | None:
    value = metric.get("value") if isinstance(metric, dict) else None
    return None if value is None else int(value)


def of_rfa_toolbox(model: nn.Module, subject: Subject) -> Figures:
    # The package imports a name that Python 3.10 removed; with it put back, it can be asked.
    vars(collections).setdefault("Sequence", collections.abc.Sequence)
    from rfa_toolbox import create_graph_from_pytorch_model

    layers = create_graph_from_pytorch_model(model).all_layers
    # A layer has a pair, or one number where its field is the whole image.
    seen = [
        field for layer in layers if isinstance(field := layer.receptive_field_max, collections.abc.Sequence)
    ]
    finite = [int(max(field)) for field in seen if max(field) < float("inf")]
    return None, None, max(finite, default=None)


def of_gradients(model: nn.Module, subject: Subject) -> Figures:
    """Return the extent of the gradient of a unit in the middle, on an image that holds all of its field."""
    model = model.double()
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                # The gradient of a maximum reaches one pixel of its window; a mean has the same window.
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    for parameter in model.parameters():
        parameter.data.abs_().add_(1e-3)
    side = 160 if subject.size[1] < 100 else 960
    kept: list[torch.Tensor] = []
    layer = model.get_submodule(subject.features)
    hook = layer.register_forward_hook(lambda module, args, output: kept.append(output))
    image = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    model(image)
    hook.remove()
    (features,) = kept
    widest = 0
    # Where stride and resampling meet, the extent depends on the phase of the unit: look at several.
    for row in range(features.shape[2] // 2, features.shape[2] // 2 + (4 if side < 500 else 1)):
        gradient = torch.autograd.grad(features[0, :, row, row].sum(), image, retain_graph=True)[0]
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        widest = max(widest, int(rows[-1] - rows[0]) + 1)
    return sum(p.numel() for p in model.parameters()), None, widest


TOOLS: dict[str, tuple[str, Callable[[nn.Module, Subject], Figures]]] = {
    "rfcalc": ("rfcalc", of_rfcalc),
    "torchinfo": ("torchinfo", of_torchinfo),
    "fvcore": ("fvcore", of_fvcore),
    "thop": ("thop", of_thop),
    "torch-scan": ("torchscan", of_torchscan),
    "RFA toolbox": ("rfa-toolbox", of_rfa_toolbox),
    "gradients": ("torch", of_gradients),
}


def asked(tool: str, subject: Subject) -> Figures | str:
    """Return the figures of one tool on one network, or why there are none."""
    _, ask = TOOLS[tool]
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ask(subject.build().eval(), subject)
    except ModuleNotFoundError as error:
        return f"not installed ({error.name})"
    except Exception as error:  # a tool that fails on a network is a finding
        return f"{type(error).__name__}"


def version(package: str) -> str:
    """Return the version of a package, "" where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def table(found: dict[str, dict[str, Figures | str]]) -> str:
    """Draw a Markdown table for each network."""
    parts = []
    for name in SUBJECTS:
        rows = ["| | version | parameters | MACs | receptive field |", "|---|---|--:|--:|--:|"]
        for tool, (package, _) in TOOLS.items():
            figures = found[tool][name]
            cells = [figures, "", ""] if isinstance(figures, str) else [_shown(value) for value in figures]
            rows.append(f"| {tool} | {version(package)} | {' | '.join(cells)} |")
        parts.append(f"**{name}**\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def _shown(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def main() -> None:
    """Ask all tools and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    found = {tool: {name: asked(tool, subject) for name, subject in SUBJECTS.items()} for tool in TOOLS}
    print(table(found))
    if options.json:
        versions = {tool: version(package) for tool, (package, _) in TOOLS.items()}
        content = {"versions": versions, "figures": found}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
