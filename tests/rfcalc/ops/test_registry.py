import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.view import lines_of
from rfcalc.errors import RuleError
from rfcalc.ops.lookup import forget, rule
from rfcalc.ops.registry import OPS
from rfcalc.questions.oracle import verify


@pytest.fixture(scope="module")
def blur():
    """An op that rfcalc has never heard of: a 3-tap blur along the width."""
    library = torch.library.Library("rfcalc_test", "DEF")
    library.define("blur(Tensor x) -> Tensor")

    def kernel(x):
        return F.avg_pool2d(x, (1, 3), 1, (0, 1))

    library.impl("blur", kernel, "CPU")
    library.impl("blur", torch.empty_like, "Meta")
    yield torch.ops.rfcalc_test.blur
    forget("rfcalc_test::blur")
    library._destroy()


class Blurred(nn.Module):
    def __init__(self, op):
        super().__init__()
        self.op = op
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return self.op(self.conv(x))


def test_an_op_without_a_rule_is_probed_and_marked(blur):
    field = analyze(Blurred(blur), (2, 6, 9)).output
    assert "probed" in field.flags
    assert field.size == (3, 5)
    assert field.inputs_seen(3, 4) == ({2, 3, 4}, {2, 3, 4, 5, 6})


def test_a_rule_teaches_an_op(blur):
    @rule(blur)
    def _(call):
        return call.window((1, 3), padding=(0, 1))

    field = analyze(Blurred(blur), (2, 6, 9)).output
    assert not field.flags
    assert field.size == (3, 5)
    assert field.jump == (1, 1)


def test_a_rule_gives_label_kind_and_macs_too(blur):
    @rule(blur, label="blur 3", macs=lambda call: 3 * math.prod(call.shape()))
    def _(call):
        return call.window((1, 3), padding=(0, 1))

    net = Blurred(blur)
    analysis = analyze(net, (2, 6, 9))
    assert [(row.op, row.macs) for row in analysis.rows] == [("conv", 6 * 9 * 4 * 9), ("blur 3", 3 * 108)]
    assert analysis.macs == sum(row.macs for row in analysis.rows)
    assert analyze(net, (2, 6, 9), train=True).macs == analysis.macs

    @rule(blur, kind="norm")
    def _(call):
        return call.pointwise()

    analysis = analyze(net, (2, 6, 9))
    assert [line.row.op for line in lines_of(analysis)] == ["conv"]
    assert analysis.macs == 6 * 9 * 4 * 9


def test_an_unknown_kind_is_refused_with_all_kinds(blur):
    with pytest.raises(RuleError, match=r"kind is one of convolution, .*, got 'blurring'"):
        rule(blur, kind="blurring")


def test_every_line_of_the_registry_is_an_op_of_pytorch():
    for name in OPS:
        namespace, _, op = name.partition("::")
        if namespace == "aten":
            found = hasattr(torch.ops.aten, op) or hasattr(torch.ops.aten, f"{op}_")
            # PyTorch does not have all of them at every version: the functional forms come and go.
            assert found or op in NOT_IN_EVERY_VERSION, name


NOT_IN_EVERY_VERSION = {
    "_scaled_dot_product_cudnn_attention",
    "batch_norm_with_update",
    "contiguous",
    "flatten",
}


def test_a_rule_of_the_wrong_shape_is_refused_with_both(blur):
    @rule("rfcalc_test::blur")
    def _(call):
        return call.mixing([3])

    with pytest.raises(RuleError, match=r"at '' returned \(1, 2, 6\), the output is \(1, 2, 6, 9\)"):
        analyze(Blurred(blur), (2, 6, 9))


def test_a_rule_for_what_is_no_op_is_refused():
    with pytest.raises(RuleError, match=r"takes an op of torch\.ops"):
        rule(len)


def test_an_op_that_cannot_be_run_may_read_everything():
    library = torch.library.Library("rfcalc_opaque", "DEF")
    library.define("opaque(Tensor x) -> Tensor")
    library.impl("opaque", torch.empty_like, "Meta")
    try:
        field = analyze(Blurred(torch.ops.rfcalc_opaque.opaque), (2, 6, 6)).output
    finally:
        library._destroy()
    assert {"unknown", "upper bound"} <= field.flags
    assert field.is_global
    assert field.size == (3, 3)
    assert field.mask(0, 0).all()


MOVES = {
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "diagonal": lambda x: x.diagonal(0, 2, 3),
    "as_strided": lambda x: x.contiguous().as_strided((1, 2, 3, 3), (72, 36, 7, 2)),
    "two index vectors": lambda x: x[:, :, torch.tensor([0, 3, 5]), torch.tensor([1, 1, 2])],
    "boolean rows": lambda x: x[:, :, torch.tensor([True, False, True, True, False, True])],
    "repeat": lambda x: x.repeat(1, 1, 2, 1),
    "tril": lambda x: x.tril(),
    "gather": lambda x: x.gather(3, torch.zeros(1, 2, 6, 2, dtype=torch.int64)),
    "unfold a dimension": lambda x: x.unfold(2, 3, 2),
    "F.unfold": lambda x: F.unfold(x, 3, padding=1),
    "flatten, slice, unflatten": lambda x: x.flatten(2)[..., 6:30].unflatten(2, (4, 6)),
    "stack and unbind": lambda x: torch.stack([*x.unbind(2)[::2]], 2),
    "chunks of flattened channels": lambda x: x.flatten(1).chunk(2, 1)[0].unflatten(1, (1, 6, 6)),
    "circular padding": lambda x: F.pad(x, (2, 1, 0, 2), mode="circular"),
    "select and expand": lambda x: x[:, :, 3:4].expand(-1, -1, 5, -1),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_data_movement_is_exact(move):
    class Moved(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, (3, 1), padding=(1, 0))

        def forward(self, x):
            return move(self.conv(x)) * 1.0

    analysis = analyze(Moved(), (2, 6, 6))
    assert not analysis.output.flags & {"upper bound", "bounding box", "probed", "unknown", "data-dependent"}
    result = verify(None, analysis, units=0, rows=[analysis.rows[-1].name])
    assert result.checked > 0
    assert not result.mismatches


RECURRENT = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


@pytest.mark.parametrize("layer", RECURRENT.values(), ids=RECURRENT)
def test_a_recurrent_layer_sees_everything_before(layer):
    class Columns(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding=1)
            self.layer = layer(2 * 4, 3, batch_first=True)

        def forward(self, x):
            return self.layer(self.conv(x).permute(0, 3, 1, 2).flatten(2))[0]

    field = analyze(Columns(), (1, 4, 7)).output
    assert field.inputs_seen(2) == ({0, 1, 2, 3}, {0, 1, 2, 3})
