"""`python -m export`: a mistake is one line and exit code 2, a broken limit 1; nothing is half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import rfcalc
from export import floats, onnx_file
from export.__main__ import main
from export.subject import open_subject
from models.presets import PRESETS
from records.deployment import Deployment
from records.files import write_json
from records.layout import RUN, WEIGHTS
from reports.tables.deployment import forms


class _Scores(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run", ignore=shutil.ignore_patterns("export")))


def _spoilt(run: Path) -> None:
    from safetensors import safe_open

    with safe_open(run / WEIGHTS, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(run / WEIGHTS)
    name = next(name for name in tensors if name.endswith("conv.weight"))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, run / WEIGHTS, metadata)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "coreml"], "'coreml' is unknown; choose from onnx, int8, c, tflite, html"),
        (["--opset", "9"], "--opset 9: must be 18 to 23"),
        (["--to", "c", "--calibration", "5000"], "has 36 training images beside those held out"),
        (["--to", "c", "--calibration", "1"], "cannot hold all 2 classes"),
        (["--calibration", "4"], "--calibration means nothing without --to int8 or c"),
        (["--max-arena-bytes", "9"], "--max-arena-bytes means nothing without --to c"),
        (["--to", "c", "--cmsis-nn", "nowhere"], "--cmsis-nn means nothing without --emulate N"),
        (
            ["--to", "c", "--emulate", "1", "--cmsis-nn", "nowhere"],
            "nowhere/Include/arm_nnfunctions.h is missing",
        ),
        (["--input", "3x32x32"], "knows its input size"),
        (["--input", "3yy"], "write channels x height x width"),
        (["--to", "html", "--raw"], "--raw means nothing without --to onnx or int8"),
        (["--to", "c", "--data", "nowhere"], "no such folder or archive"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(
    words: list[str], says: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([str(run), *words])
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]
    assert not (run / "export").exists()


def test_weights_with_nan_and_a_run_without_weights_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _spoilt(run)
    assert main([str(run), "--to", "c"]) == 2
    assert "holds NaN or infinity" in capsys.readouterr().err
    (run / WEIGHTS).unlink()
    assert main([str(run), "--to", "c"]) == 2
    assert "its run has not ended" in capsys.readouterr().err
    assert not (run / "export").exists()


def test_a_run_whose_images_are_unknown_asks_for_them(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / RUN).unlink()
    assert main([str(run), "--to", "c"]) == 2
    assert "name images to compare and to calibrate on: --data D" in capsys.readouterr().err


def test_an_unknown_operator_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = "torchvision.models:squeezenet1_1"
    assert main([target, "--to", "c", "--input", "3x64x64", "--out", str(tmp_path / "there")]) == 2
    assert "max_pool2d.default, which the C code does not know" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_target_with_another_size_names_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["torchvision.models:squeezenet1_1", "--input", "3x8x8", "--out", str(tmp_path / "x")]) == 2
    assert "name its size with --input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "words", "says"),
    [
        ("resnt20", [], "did you mean resnet20 (published network)?"),
        ("tiny", ["--data", "shapes"], "--data means nothing for tiny: it has fresh weights"),
        ("tiny@3x16x16", ["--input", "3x16x16"], "names its input size already"),
        ("tiny@1x16x16", [], "an input of 1x16x16; RGB images alone"),
        ("spec.json@3x16x16", [], "a spec knows its input size; leave out what begins with @"),
        ("RUN@3x16x16", [], "a run knows its input size; leave out what begins with @"),
        ("nothing/spec.json", [], "nothing/spec.json: no such file"),
    ],
)
def test_a_target_that_does_not_fit_is_one_line(
    target: str,
    words: list[str],
    says: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run.parent)
    write_json(Path("spec.json"), PRESETS["tiny"].to_json())
    before = sorted(Path().iterdir())
    assert main([target.replace("RUN", str(run)), *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("target", "name", "size"),
    [
        ("tiny@3x16x24", "tiny", (3, 16, 24)),
        ("densenet121_catdog", "densenet121_catdog", (3, 244, 244)),
        ("models.reference.resnet8", "resnet8", (3, 32, 32)),
        ("models.reference.resnet8:build_model@3x40x40", "build_model", (3, 40, 40)),
    ],
)
def test_a_target_names_the_network_and_the_size_of_its_input(
    target: str, name: str, size: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rfcalc, "load_model", lambda _: _Scores())
    found = open_subject(target)
    assert (found.name, found.input_size, found.folder.name) == (name, size, f"{name}-export")


def test_forms_that_were_measured_on_different_images_share_no_table(run: Path) -> None:
    assert main([str(run), "--to", "html"]) == 0
    assert main([str(run), "--to", "c", "--calibration", "4", "--split", "test", "--images", "8"]) == 0
    text = (run / "export" / "deployment.md").read_text()
    assert text.count("the same images in every row") == 2
    chosen = [
        f"{each} images of pets (folder of images)" for each in ("4 validation", "the first 8 of 20 test")
    ]
    assert all(f"Measured on {each};" in text for each in chosen)
    assert text.count("| float32 (torch) |") == 2
    found = Deployment.beside(run)
    assert found is not None
    assert [table.caption for table in forms(found)] == [
        f"Forms of the network, on {each}" for each in chosen
    ]


def test_operators_that_answer_otherwise_than_torch_are_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = floats.FUNCTIONS["relu"]
    monkeypatch.setitem(floats.FUNCTIONS, "relu", lambda x: 1.1 * real(x))
    assert main([str(run), "--to", "html"]) == 2
    assert "the network as operators: a logit differs from torch by" in capsys.readouterr().err
    assert not (run / "export").exists()


def test_c_of_a_run_is_judged_against_limits(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(run), "--to", "c", "--calibration", "20", "--max-weight-bytes", "200000"]
    assert main([*words, "--max-arena-bytes", "16384"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN by" in out
    assert "held, " in out
    record = json.loads((run / "export" / "export.json").read_text())
    part = record["parts"]["c"]
    assert part["accuracy"]["images"] == 4  # held out of 40: 2 of each class
    assert part["calibration"].startswith("20 training images of pets")
    assert part["ram"]["arena"] == 18_432  # 12 channels at 32x32 (the stem) and 24 at 16x16 (C1)
    assert sum(part["macs"].values()) == 7_996_416 - 96 * 8 * 64  # two classes instead of ten
    shown = Deployment.beside(run)  # what pages read of it
    assert shown is not None
    assert shown.ram == {"arena": 18_432, "input": 3072, "scores": 4}
    assert [form.target for form in shown.forms] == ["c"]
    assert len(shown.boards) == 4
    text = (run / "export" / "deployment.md").read_text()
    assert "NUCLEO-L4R5ZI" in text
    assert "github.com/mlcommons/tiny_results_v1.1" in text


def test_a_spec_is_exported_before_it_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "tiny.json", PRESETS["tiny"].to_json())
    assert main([str(tmp_path / "tiny.json"), "--to", "c", "--calibration", "4"]) == 0
    out = capsys.readouterr().out
    assert "is not trained" in out
    assert out.splitlines()[-1].startswith(f"next  python train.py --model {tmp_path / 'tiny.json'}  # ")
    assert (tmp_path / "tiny-export" / "c" / "network.c").is_file()
    assert "not measured" in (tmp_path / "tiny-export" / "deployment.md").read_text()


def test_a_network_that_answers_otherwise_than_torch_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(subject: object, path: Path, **_: object) -> None:
        path.write_bytes(b"")

    def answers(
        path: Path, subject: onnx_file.Subject, images: onnx_file.Pixels, **_: object
    ) -> onnx_file.Logits:
        return onnx_file.run_torch(subject, images) + np.float32(0.002)

    monkeypatch.setattr(onnx_file, "write_onnx", write)
    monkeypatch.setattr(onnx_file, "run_onnx", answers)
    assert main([str(run)]) == 2
    assert "a logit differs from torch by 0.002 on 4 images, more than 0.001" in capsys.readouterr().err
    assert not (run / "export").exists()
