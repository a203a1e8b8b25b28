"""ONNX files: the rows of the same network in torch, shapes as onnx infers them, and unsound files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import rfcalc
from rfcalc.command.cli import main
from rfcalc.errors import LoadError
from rfcalc.onnx.module import OnnxNetwork
from rfcalc.onnx.read import read

FLOAT = TensorProto.FLOAT
Save = Callable[..., Path]


def weight(name: str, *shape: int) -> Any:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def constant(name: str, values: Any, kind: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.array(values, kind), name)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """`save(nodes, weights, size)`: the path of a model that maps "x" to "y"."""

    def write(
        nodes: Sequence[Any],
        weights: Sequence[Any] = (),
        size: Sequence[Any] = (1, 3, 32, 32),
        **settings: Any,
    ) -> Path:
        x = helper.make_tensor_value_info("x", FLOAT, size)
        y = helper.make_tensor_value_info("y", FLOAT, None)
        graph = helper.make_graph(list(nodes), "g", [x], [y], list(weights))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", settings.get("opset", 17))])
        model.functions.extend(settings.get("functions", ()))
        path = tmp_path / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def rows(model: nn.Module, size: tuple[int, ...]) -> list[tuple[Any, ...]]:
    analysis = rfcalc.analyze(model, input_size=size)
    return [
        (row.op, row.output_shape, row.params, row.macs, row.field.size, row.field.jump, row.field.start)
        for row in analysis.rows
    ]


class Small(nn.Module):
    """What the graph of the first test says, in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False)
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(nn.functional.silu(self.stem(x)))
        x = x + self.depthwise(x)
        return self.fc(self.up(x).mean((2, 3), keepdim=True).flatten(1))  # type: ignore[no-any-return]


def test_the_rows_are_those_of_the_same_network_in_torch(save: Save) -> None:
    path = save(
        [
            helper.make_node(
                "Conv", ["x", "stem.1.weight", "stem.1.bias"], ["a"], strides=[2, 2], auto_pad="SAME_UPPER"
            ),
            helper.make_node("BatchNormalization", ["a", *(f"stem.2.{n}" for n in "wbmv")], ["b"]),
            helper.make_node("Sigmoid", ["b"], ["s"]),
            helper.make_node("Mul", ["b", "s"], ["c"]),
            helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["d", "dw"], ["e"], group=8, dilations=[2, 2], pads=[2, 2, 2, 2]),
            helper.make_node("Add", ["d", "e"], ["f"]),
            helper.make_node(
                *("ConvTranspose", ["f", "up", "up.bias"], ["g"]),
                **{"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
            ),
            helper.make_node("GlobalAveragePool", ["g"], ["h"]),
            helper.make_node("Flatten", ["h"], ["i"]),
            helper.make_node("Gemm", ["i", "fc.weight", "fc.bias"], ["y"], transB=1),
        ],
        [
            *(weight("stem.1.weight", 8, 3, 3, 3), weight("stem.1.bias", 8)),
            *(weight(f"stem.2.{n}", 8) for n in "wbmv"),
            *(weight("dw", 8, 1, 3, 3), weight("up", 8, 4, 3, 3), weight("up.bias", 4)),
            *(weight("fc.weight", 5, 4), weight("fc.bias", 5)),
        ],
    )
    network = OnnxNetwork(read(path)).eval()
    assert rows(network, (3, 32, 32)) == rows(Small().eval(), (3, 32, 32))
    names = {row.name for row in rfcalc.analyze(network, input_size=(3, 32, 32)).rows}
    assert {"stem.1.conv", "stem.2", "fc"} <= names


@pytest.mark.parametrize(
    ("kind", "inputs", "weights", "attributes"),
    [
        (
            "Conv",
            ["w"],
            [weight("w", 4, 3, 5, 3)],
            {"strides": [2, 1], "pads": [0, 1, 2, 0], "dilations": [1, 3]},
        ),
        ("Conv", ["w"], [weight("w", 4, 3, 3, 3)], {"strides": [3, 2], "auto_pad": "SAME_LOWER"}),
        ("Conv", ["w"], [weight("w", 4, 3, 3, 3)], {"auto_pad": "VALID"}),
        ("MaxPool", [], [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        ("MaxPool", [], [], {"kernel_shape": [3, 2], "pads": [0, 0, 1, 1]}),
        ("AveragePool", [], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("ConvTranspose", ["w"], [weight("w", 3, 4, 4, 4)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        (
            "Slice",
            ["s", "e", "a"],
            [constant("s", [2, 1]), constant("e", [-3, 20]), constant("a", [2, 3])],
            {},
        ),
        ("Pad", ["p"], [constant("p", [0, 0, 1, 2, 0, 0, 3, 4])], {"mode": "reflect"}),
        ("Resize", ["", "", "n"], [constant("n", [1, 3, 34, 44])], {"mode": "nearest"}),
        ("Resize", ["", "f"], [constant("f", [1, 1, 2, 2], np.float32)], {"mode": "linear"}),
        ("Transpose", [], [], {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["n"], [constant("n", [0, -1, 22])], {}),
        ("ReduceMean", [], [], {"axes": [2], "keepdims": 0}),
        ("Unsqueeze", ["a"], [constant("a", [1])], {}),
        ("SpaceToDepth", [], [], {"blocksize": 1}),
        ("Flatten", [], [], {"axis": 2}),
        ("Expand", ["n"], [constant("n", [1, 3, 17, 22])], {}),
        ("Softmax", [], [], {"axis": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_operator_gives_the_shape_that_onnx_infers(
    kind: str, inputs: list[str], weights: list[Any], attributes: dict[str, Any], save: Save
) -> None:
    path = save([helper.make_node(kind, ["x", *inputs], ["y"], **attributes)], weights, (1, 3, 17, 22))
    inferred = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True).graph.output[0]
    expected = [dimension.dim_value for dimension in inferred.type.tensor_type.shape.dim]
    assert list(OnnxNetwork(read(path))(torch.zeros(1, 3, 17, 22)).shape) == expected


def test_shapes_are_computed_where_the_file_computes_them(save: Save) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["u"]),
        helper.make_node("Concat", ["u", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    path = save(
        nodes, [constant("zero", 0), constant("axis", [0]), constant("rest", [3, -1])], ("n", 3, 32, 32)
    )
    assert OnnxNetwork(read(path))(torch.zeros(2, 3, 32, 32)).shape == (2, 3, 1024)


def test_a_linear_layer_in_several_operators_keeps_its_place(save: Save) -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["a"]),
        helper.make_node("Transpose", ["fc.weight"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "t"], ["b"]),
        helper.make_node("Add", ["b", "fc.bias"], ["y"]),
    ]
    path = save(nodes, [weight("fc.weight", 5, 48), weight("fc.bias", 5)], (1, 3, 4, 4))
    analysis = rfcalc.analyze(OnnxNetwork(read(path)), input_size=(3, 4, 4))
    assert (analysis.params, analysis.macs) == (245, 240)
    assert analysis.rows[-1].output_shape == (5,)


def test_a_gate_that_is_used_twice_remains_a_gate(save: Save) -> None:
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"]),
        helper.make_node("Mul", ["x", "s"], ["a"]),
        helper.make_node("Add", ["a", "s"], ["y"]),
    ]
    network = OnnxNetwork(read(save(nodes)))
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(network(x), x * torch.sigmoid(x) + torch.sigmoid(x))


CONV = helper.make_node("Conv", ["x", "w"], ["y"])


def test_weights_in_another_file_are_never_opened(save: Save) -> None:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=(8, 3, 3, 3), data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    analysis = rfcalc.analyze(OnnxNetwork(read(save([CONV], [tensor]))), input_size=(3, 32, 32))
    assert (analysis.params, analysis.macs, analysis.field.size) == (216, 216 * 900, (3, 3))


def test_the_normalisation_of_the_images_is_no_parameter(save: Save) -> None:
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["a"]),
        helper.make_node("Mul", ["a", "scale"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["c"]),
        helper.make_node("Mul", ["c", "gamma"], ["y"]),
    ]
    weights = [
        weight("mean", 3, 1, 1),
        weight("scale", 3, 1, 1),
        weight("w", 8, 3, 1, 1),
        weight("gamma", 8, 1, 1),
    ]
    assert rfcalc.analyze(OnnxNetwork(read(save(nodes, weights))), input_size=(3, 32, 32)).params == 24 + 8


def test_an_image_with_channels_last_is_read_as_the_network_sees_it(save: Save) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["y"]),
    ]
    model = read(save(nodes, [weight("w", 8, 3, 3, 3)], (1, 20, 24, 3)))
    assert [one.shape for one in model.inputs] == [(3, 20, 24)]
    assert rfcalc.analyze(OnnxNetwork(model), input_size=(3, 20, 24)).rows[0].output_shape == (8, 18, 22)


def _huge() -> Any:
    return TensorProto(
        name="w", data_type=FLOAT, dims=(2**20, 2**20, 3, 3), data_location=TensorProto.EXTERNAL
    )


def _negative() -> Any:
    return TensorProto(name="w", data_type=FLOAT, dims=(-1, 3, 3, 3))


def _elsewhere() -> Any:
    tensor = TensorProto(name="w", data_type=TensorProto.INT64, dims=(2,), data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="shapes.bin")
    return tensor


_LOOP = helper.make_node("Loop", ["x"], ["y"], body=helper.make_graph([], "body", [], []))


@pytest.mark.parametrize(
    ("nodes", "weights", "says"),
    [
        ([_LOOP], [], "Loop 'y'|Loop y.*runs a graph of its own"),
        (
            [helper.make_node("Magic", ["x"], ["y"], domain="evil")],
            [],
            "domain 'evil', which is not ONNX's own",
        ),
        ([helper.make_node("NonMaxSuppression", ["x", "x"], ["y"])], [], "NonMaxSuppression 'y' is not read"),
        ([CONV], [_huge()], "weights, more than the 1,073,741,824"),
        ([CONV], [_negative()], "has a negative length"),
        ([CONV], [], "reads 'w', which nothing before it computes"),
        ([helper.make_node("Reshape", ["x", "w"], ["y"])], [_elsewhere()], "are in another file"),
        ([helper.make_node("Relu", ["x"], ["z"])], [], "nothing computes the output 'y'"),
    ],
    ids=["loop", "domain", "operator", "huge", "negative", "undefined", "shape elsewhere", "no output"],
)
def test_a_file_that_cannot_be_read_is_one_line(
    nodes: list[Any], weights: list[Any], says: str, save: Save, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(nodes, weights)
    with pytest.raises(LoadError, match=says):
        OnnxNetwork(read(path))
    assert main([str(path), "--no-budget"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_array_that_would_be_enormous_is_not_made(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [helper.make_node("ConstantOfShape", ["n"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    path = save(nodes, [constant("n", [2**40])])
    assert main([str(path), "--no-budget"]) == 2
    assert "makes an array of more than" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01garbage", b"\x08\x0a\x12\x04junk"], ids=["empty", "garbage", "cut"]
)
def test_what_is_no_model_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert main([str(path), "--no-budget"]) == 2
    assert "is no ONNX model" in capsys.readouterr().err


def test_the_command_takes_the_size_from_the_file_and_another_from_the_flag(
    save: Save, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save([CONV], [weight("w", 8, 3, 3, 3)], ("batch", 3, 20, 24))
    for words, size in (([], [8, 18, 22]), (["--input", "3x32x32"], [8, 30, 30])):
        assert main([str(path), "--format", "json", "--max-params", "216", *words]) == 0
        assert json.loads(capsys.readouterr().out)["rows"][0]["output_shape"] == size
    assert main([str(path), "--max-params", "215"]) == 1
    assert main([f"{path}:Net", "--no-budget"]) == 2
    assert "holds one network" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # of torch 2.10 about itself
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_published_networks_have_the_same_rows_after_an_export(name: str, tmp_path: Path) -> None:
    from torchvision import models

    network = models.get_model(name, weights=None).eval()
    program = torch.onnx.export(
        network, (torch.zeros(1, 3, 224, 224),), dynamo=True, optimize=False, verbose=False
    )
    assert program is not None
    onnx.save(program.model_proto, str(tmp_path / "net.onnx"))
    size = (3, 224, 224)
    assert rows(OnnxNetwork(read(tmp_path / "net.onnx")).eval(), size) == rows(network, size)


@pytest.mark.slow  # torch's exporter
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's own code about torch's own code
def test_the_way_out_of_a_torch_export_program_gives_its_rows(tmp_path: Path) -> None:
    """What the refusal of a .pt2 file proposes."""
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 5, 3)).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(network, (torch.zeros(2, 3, 16, 16),), dynamic_shapes=(batch,))
    torch.export.save(program, tmp_path / "net.pt2")
    written = torch.onnx.export(torch.export.load(tmp_path / "net.pt2"), dynamo=True, verbose=False)
    assert written is not None
    written.save(str(tmp_path / "net.onnx"))
    again = OnnxNetwork(read(tmp_path / "net.onnx")).eval()
    assert rows(again, (3, 16, 16)) == rows(network, (3, 16, 16))
