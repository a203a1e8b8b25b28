"""Fine-tuning with the roundings of int8: they are those of the C code, and training makes up for them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from rich.console import Console
from torch import nn

from export import floats
from export.__main__ import main
from export.c import interpret, quantise
from export.c.arithmetic import Program, Scale
from export.c.calibration import Stored
from export.graph import Convolution
from export.images import Images
from export.lowering import lower
from export.onnx_file import run_onnx
from export.qat.fake import FakeQuantised
from export.qat.tune import recipe_of, tune
from export.qdq_file import write_qdq
from export.subject import Subject
from tests.export.conftest import MEAN, STD, Case, subject_of
from training.data import shapes
from training.data.registry import Dataset, Split
from training.fit.recipe import RECIPES

NAMES = ["mixed", "residual-mcu"]


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run", ignore=shutil.ignore_patterns("export")))


def stored_of(found: Case) -> tuple[Stored, ...]:
    return quantise.calibrated("network", found.graph, found.images, MEAN, STD)


def integers_of(program: Program, images: np.ndarray) -> list[np.ndarray]:  # type: ignore[type-arg]
    values: list[np.ndarray] = []  # type: ignore[type-arg]
    interpret.run(program, images, lambda value, x: values.append(x.astype(np.int64)))
    return values


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_that_of_the_interpreter_within_one_rounding(
    name: str, case: Callable[[str], Case]
) -> None:
    """Given the interpreter's own integers, a step computes the same ones, or a neighbour."""
    found = case(name)
    stored = stored_of(found)
    model = FakeQuantised(found.graph, stored)
    integers = integers_of(found.program, found.images[:4])
    at = {value: place for place, value in enumerate(quantise.values_of(found.graph))}
    real = {
        value: torch.tensor((integers[place] - stored[value].scale.zero) * stored[value].scale.scale)
        .permute(0, 3, 1, 2)
        .float()
        for value, place in at.items()
    }
    equal, compared = 0, 0
    for value, place in at.items():
        node = None if value == 0 else found.graph.nodes[value - 1]
        if node is None or not all(each in real for each in node.inputs):
            continue  # a ReLU that the step before computes
        with torch.inference_mode():
            got = model.step(value - 1, [real[each] for each in node.inputs]).permute(0, 2, 3, 1).double()
        scale = stored[value].scale
        steps = (got.numpy() / scale.scale + scale.zero).round() - integers[place]
        last = value == len(found.graph.nodes)  # the scores have 16 bits, so that float32 itself is a step
        assert np.abs(steps).max() <= (2 if last else 1), node.name
        equal, compared = equal + int((steps == 0).sum()), compared + steps.size
    assert compared > 10_000
    assert equal / compared > 0.9999


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_network_answers_as_the_interpreter(name: str, case: Callable[[str], Case]) -> None:
    found = case(name)
    with torch.inference_mode():
        pixels = (torch.from_numpy(found.images).float() - torch.tensor(MEAN)) / torch.tensor(STD)
        logits = FakeQuantised(found.graph, stored_of(found))(pixels.permute(0, 3, 1, 2)).numpy()
    scores = interpret.run(found.program, found.images) * found.program.score_scale
    # A rare neighbour is amplified by later layers: what is left is small beside what int8 loses.
    assert np.abs(logits - scores).mean() < 0.25 * np.abs(found.logits - scores).mean()


def test_the_gradient_passes_straight_within_the_bounds_and_not_beyond() -> None:
    torch.manual_seed(0)
    subject = subject_of(
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), (3, 4, 4), 2
    )
    network = lower(subject)
    wide = Scale(0.05, 0)
    model = FakeQuantised(network, [Stored(wide), Stored(wide), Stored(Scale(1e-3, 0), -32_767, 32_767)])
    images = torch.full((1, 3, 4, 4), 1.0)
    images[0, :, 0, 0] = 100.0  # 100 / 0.05 is far beyond 127
    images.requires_grad_()
    model(images)[0, 0].backward()
    assert images.grad is not None
    exact = model.weight["0"].detach()[0, :, 0, 0] / 16
    rounding = float(exact.abs().max()) / 127
    assert (images.grad[0, :, 0, 0] == 0).all()
    assert (images.grad[0, :, 1, 1] - exact).abs().max() <= rounding
    assert model.weight["0"].grad is not None
    assert (model.weight["0"].grad[0] != 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("raw", [False, True], ids=["pixels", "normalised"])
def test_the_onnx_file_has_the_same_scales(
    name: str, raw: bool, case: Callable[[str], Case], tmp_path: Path
) -> None:
    found = case(name)
    path = tmp_path / "model-int8.onnx"
    write_qdq(found.subject, found.graph, stored_of(found), path, raw=raw, opset=18)
    answers = run_onnx(path, found.subject, found.images, raw=raw)
    scores = interpret.run(found.program, found.images) * found.program.score_scale
    assert np.abs(answers - scores).mean() < 0.25 * np.abs(found.logits - scores).mean()
    model = onnx.load(str(path))
    kept = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    plain = [
        node.op for node in found.graph.nodes if isinstance(node.op, Convolution) and not node.op.transposed
    ]
    assert sum(array.size for array in kept.values() if array.dtype == np.int8 and array.ndim == 4) == sum(
        op.weight.size for op in plain
    )


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2, padding=1),
        nn.ReLU6(),
        nn.Conv2d(12, 24, 3, stride=2, padding=1),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
    )


@pytest.fixture
def drawn(trained_run: Path) -> tuple[Subject, Images]:
    """A network that says it is trained, and 300 drawn shapes that it has not learned yet."""
    from export.subject import open_subject

    labels = np.arange(300) % 10
    pixels = shapes.draw(labels, shapes.Draws(0))
    names = tuple(f"class {number}" for number in range(10))
    split = Split(pixels, labels)
    dataset = Dataset("shapes", "shapes", "drawn shapes", "", names, split, split, MEAN, STD)
    subject = replace(subject_of(small().eval()), trained=open_subject(str(trained_run)).trained)
    return subject, Images(pixels[:50], "50", pixels[:100], labels[:100], "100", names, dataset)


def test_training_with_the_roundings_lowers_the_loss_of_the_rounded_network(
    drawn: tuple[Subject, Images],
) -> None:
    subject, images = drawn
    out = io.StringIO()
    tuned = tune(
        subject, lower(subject), images, epochs=5, rate=0.03, seed=0, console=Console(file=out, width=200)
    )
    losses = tuned.record["losses"]
    assert losses[-1] < losses[0] - 0.05
    assert tuned.record["images"] == 270
    assert tuned.record["validation"]["after"]["images"] == 30
    assert tuned.record["validation"]["learned"] is False
    assert out.getvalue().count("of the validation images, ") == 5
    # What was trained is what is exported: the same scales, and the figure is that of the interpreter.
    assert tuned.stored == quantise.calibrated(
        "network", lower(subject), images.calibration, subject.mean, subject.std
    )
    program = quantise.program_of(
        "network", subject.classes, tuned.network, tuned.stored, subject.mean, subject.std
    )
    right = interpret.run(program, images.judged).argmax(1) == images.labels
    assert right.mean() == pytest.approx(tuned.record["judged"]["after"]["accuracy"], abs=0.011)
    before = floats.run(lower(subject), torch.zeros(1, 3, 32, 32))
    assert not torch.allclose(floats.run(tuned.network, torch.zeros(1, 3, 32, 32)), before)


def test_the_same_seed_is_the_same_fine_tuning(drawn: tuple[Subject, Images]) -> None:
    subject, images = drawn
    console = Console(file=io.StringIO())
    one, other = (
        tune(subject, lower(subject), images, epochs=1, rate=1e-3, seed=3, console=console) for _ in range(2)
    )
    assert one.record == other.record


def test_the_recipe_is_the_run_s_own_augmentation_at_a_low_rate(drawn: tuple[Subject, Images]) -> None:
    subject, _ = drawn
    assert subject.trained is not None
    assert subject.trained.record is not None
    standard = replace(subject.trained.record, recipe=RECIPES["standard"].to_json())
    named = replace(subject, trained=replace(subject.trained, record=standard))
    found = recipe_of(named, epochs=2, rate=2e-4, images=1000)
    assert (found.policy, found.batch_size, found.label_smoothing) == ("cutout", 64, 0.05)
    assert (found.optimizer, found.learning_rate, found.epochs, found.precision) == (
        "adamw",
        2e-4,
        2,
        "float32",
    )
    assert recipe_of(named, epochs=2, rate=2e-4, images=36).batch_size == 36


def test_the_command_reports_before_and_after(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(run), "--to", "c", "--calibration", "20", "--split", "test", "--qat", "1"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "validation images before fine-tuning" in out
    assert "epoch 1 of 1" in out
    part = json.loads((run / "export" / "export.json").read_text())["parts"]["c"]
    assert part["qat"]["recipe"]["learning_rate"] == 1e-4
    assert part["qat"]["judged"]["after"]["images"] == 20
    text = (run / "export" / "deployment.md").read_text()
    assert "## Fine-tuning with the roundings of int8 (--qat)" in text
    assert "int8 before --qat (simulated)" in text


@pytest.mark.slow  # torch's exporter takes 10 s
def test_the_int8_file_of_the_command_is_the_fine_tuned_network(run: Path) -> None:
    words = ["--calibration", "20", "--split", "test", "--qat", "2", "--qat-rate", "0.001"]
    assert main([str(run), "--to", "int8,c", *words]) == 0
    parts = json.loads((run / "export" / "export.json").read_text())["parts"]
    assert parts["int8"]["qat"] == parts["c"]["qat"]
    assert parts["int8"]["accuracy"]["accuracy"] == pytest.approx(
        parts["c"]["accuracy"]["accuracy"], abs=0.051
    )
    assert len(parts["int8"]["errors"]) == len(parts["c"]["errors"]) > 10
    text = (run / "export" / "deployment.md").read_text()
    assert "; the scales of the C code, weights per channel." in text
    model = onnx.load(str(run / "export" / "model-int8.onnx"))
    assert {each.key for each in model.metadata_props} >= {"classes", "weights_sha256"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--qat", "1"], "--qat means nothing without --to int8 or c"),
        (["--to", "c", "--qat-rate", "1"], "--qat-rate means nothing without --qat EPOCHS"),
        (["--to", "c", "--qat", "1", "--qat-rate", "0"], "expected a number above 0"),
        (["--to", "c", "--qat", "0"], "at least 1"),
    ],
)
def test_a_flag_that_cannot_be_is_refused(
    words: list[str], says: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(run), *words])
    assert says in capsys.readouterr().err


def test_an_untrained_network_is_not_fine_tuned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models.reference.resnet8", "--to", "c", "--qat", "2", "--out", str(tmp_path / "x")]) == 2
    assert (
        "--qat 2: ResNet8 is not trained; fine-tuning needs a finished run"
        in capsys.readouterr().err.replace("resnet8", "ResNet8")
    )
    assert list(tmp_path.iterdir()) == []
