"""Networks with weights that mean something to every operator, and a run with the images that it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import nn

from export.c import quantise
from export.c.arithmetic import Program
from export.graph import Graph
from export.lowering import lower
from export.subject import Subject
from models.layers import BranchSpec, LayerSpec, OutputSpec, StageSpec
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from records.files import write_json
from records.layout import RUN, WEIGHTS
from records.run import RunRecord
from records.settings import RunSettings
from tests.serve.conftest import make_run
from training.data import registry
from training.fit.checkpoint import load_weights, save_weights
from training.fit.runfolder import weights_metadata

MEAN, STD = (120.0, 115.0, 105.0), (60.0, 61.0, 62.0)
# Every kind, option and order that the C code knows, on maps of odd sides.
MIXED = NetSpec(
    "mixed",
    stem=StageSpec((LayerSpec("conv", 8, activation="relu6"), LayerSpec("conv", 8, activation="hardswish"))),
    c1=StageSpec((LayerSpec("conv", 8), LayerSpec("conv", 8, groups=2, residual=2))),
    c2=StageSpec(
        (
            LayerSpec("depthwise_separable", 12, stride=2, dropout=0.1),
            LayerSpec(
                *("split", 12),
                branches=(BranchSpec(1), BranchSpec(3), BranchSpec(7, 3)),
                residual=1,
                gated=True,
                activation="silu",
            ),
        )
    ),
    c3=StageSpec(
        (
            LayerSpec("transposed", 12, stride=2, groups="depthwise"),
            LayerSpec("dilated", 12, dilation=2, groups="depthwise", residual=1, order="conv-act-norm"),
            LayerSpec("transposed", 12, dilation=3, norm="none", activation="gelu", groups=3),
            LayerSpec("transposed", 12, 4, stride=2, groups=2),
            LayerSpec("conv", 16, 4, stride=2, padding=1),
        )
    ),
    c4=StageSpec(
        (
            LayerSpec("conv", 16, order="norm-act-conv", gated=True, squeeze_excite=4),
            LayerSpec("depthwise_separable", 16, 5, order="norm-act-conv", residual=1, dilation=2),
        )
    ),
    output=OutputSpec("gap-linear", norm="batch", activation="silu", dropout=0.1),
    input_size=(3, 13, 18),
    classes=4,
)


def awake(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give norms the statistics of a trained network: fresh ones would hide a fold that is wrong."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


def subject_of(network: nn.Module, size: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> Subject:
    names = tuple(f"class {number}" for number in range(classes))
    return Subject(network, "network", names, size, MEAN, STD, None, Path("unused"))


@dataclass(frozen=True, eq=False)
class Case:
    """A network in every form."""

    subject: Subject
    graph: Graph
    program: Program
    images: npt.NDArray[np.uint8]
    logits: npt.NDArray[np.float32]


def case_of(spec: NetSpec) -> Case:
    torch.manual_seed(1)
    subject = subject_of(awake(build(spec), 1), spec.input_size, spec.classes)
    _, height, width = spec.input_size
    images = np.random.default_rng(0).integers(0, 256, (20, height, width, 3), dtype=np.uint8)
    graph = lower(subject)
    program = quantise.quantise(subject.name, subject.classes, graph, images, MEAN, STD)
    pixels = (torch.from_numpy(images).float() - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.inference_mode():
        logits = subject.network(pixels.permute(0, 3, 1, 2)).numpy()
    return Case(subject, graph, program, images, logits)


@pytest.fixture(scope="session")
def case() -> Callable[[str], Case]:
    """`case(name)`: "mixed" or a preset."""
    found: dict[str, Case] = {}

    def get(name: str) -> Case:
        if name not in found:
            found[name] = case_of(MIXED if name == "mixed" else PRESETS[name])
        return found[name]

    return get


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `tiny` with awake norms, trained (it says) on a folder of 40 + 20 pictures of noise."""
    place = tmp_path_factory.mktemp("export")
    random = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 10)):
        for name in ("cat", "dog"):
            (place / "pets" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / "pets" / split / name / f"{number}.png")
    run = make_run(place / "run")
    record = RunRecord.read(run / RUN)
    settings = RunSettings(data=str(place / "pets"), cache=str(place / "cache"))
    record = replace(record, settings=settings, dataset=replace(record.dataset, test_images=20))
    write_json(run / RUN, record.to_json())
    network = build(NetSpec.from_json(record.spec or {}))
    network.load_state_dict(load_weights(run / WEIGHTS)[0])
    save_weights(run / WEIGHTS, awake(network), weights_metadata(record))
    assert registry.load(str(place / "pets"), cache=place / "cache").classes == ("cat", "dog")
    return run
