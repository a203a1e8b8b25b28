import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules import module as hooks

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.coverage import seen_counts
from rfcalc.errors import ForwardError, InputError
from rfcalc.questions.oracle import verify
from rfcalc.trace.trace import trace


def every_row_agrees(analysis, units=8):
    result = verify(None, analysis, units=units)
    assert result.checked > 0
    assert not result.mismatches


class Caching(nn.Module):
    """Keeps what it saw, counts its calls, and updates statistics in training mode."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.last = self.norm(self.conv(x))
        return self.last


@pytest.mark.parametrize("train", [False, True])
def test_the_model_is_left_exactly_as_it_was(train):
    model = Caching()
    model.norm.eval()
    model.conv.weight.requires_grad_(False)
    model.conv.register_forward_hook(lambda *_: None)
    before = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    attributes = [set(vars(m)) for m in model.modules()]
    random_state = torch.get_rng_state()
    analyze(model, (3, 8, 8), train=train)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert [set(vars(m)) for m in model.modules()] == attributes
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]
    assert len(model.conv._forward_hooks) == 1
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not hooks._global_forward_hooks
    assert not hooks._global_forward_pre_hooks
    assert all(p.grad is None for p in model.parameters())


def test_a_failing_forward_leaves_the_model_as_it_was_too():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3)).train()
    with pytest.raises(ForwardError):
        analyze(model, (3, 8, 8))
    assert all(m.training for m in model.modules())
    assert not hooks._global_forward_hooks


def test_a_failing_layer_is_named_with_its_shapes_and_the_way_out():
    model = nn.Sequential(nn.Conv2d(3, 36, 3), nn.Conv2d(40, 4, 3))
    with pytest.raises(ForwardError, match=r"failed at '1' .*\(1, 36, 6, 6\).*40 channels.*--input"):
        analyze(model, (3, 8, 8))


def test_an_input_of_the_wrong_channels_names_the_first_layer():
    with pytest.raises(ForwardError, match=r"failed at '0' .*\(1, 1, 8, 8\)"):
        analyze(nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 8, 8))


@pytest.mark.parametrize("size", [(3,), (3, 0, 8), (3, 8.5, 8), (), (3, 1, 1, 1, 1)])
def test_an_impossible_input_size_is_refused(size):
    with pytest.raises(InputError, match="all positive; got"):
        analyze(nn.Identity(), size)


def test_a_forward_that_reads_its_data_runs_for_real():
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 5)

        def forward(self, x):
            return self.b(x) if x.sum().item() > 1e9 else self.a(x)

    analysis = analyze(Reading(), (3, 8, 8))
    assert {run.output.size for run in (analysis, *analysis.others)} == {(3, 3), (5, 5)}


def test_functional_ops_branches_and_control_flow_are_seen():
    class Free(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 3, 3, 3))

        def forward(self, x):
            for _ in range(2):
                x = F.conv2d(x, self.weight[:3], padding=1)
            return F.max_pool2d(x, 2) if x.shape[2] > 4 else x

    analysis = analyze(Free(), (3, 8, 8))
    assert [row.op for row in analysis.rows] == ["conv", "conv", "max pool"]
    assert [row.name for row in analysis.rows] == ["conv", "conv#2", "max_pool"]
    assert analysis.output.size == (6, 6)


def test_a_module_called_twice_has_two_rows_and_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x))

    rows = analyze(Twice(), (3, 8, 8)).rows
    assert [(row.name, row.params, row.field.size) for row in rows] == [
        ("conv", 84, (3, 3)),
        ("conv#2", 0, (5, 5)),
    ]


def test_in_place_ops_change_what_later_layers_read():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            y = self.conv(x)
            F.relu_(y)
            y += x
            y[:, :, 2:4, 1] = 0
            y[:, :, 5:] = self.conv(y)[:, :, 5:]
            flat = y.view(1, -1)
            flat[:, 8:12].add_(x.mean())
            return self.conv(y)

    analysis = analyze(InPlace(), (1, 8, 8))
    every_row_agrees(analysis, units=0)


def test_a_view_taken_before_a_write_sees_what_was_written():
    class Viewed(nn.Module):
        def forward(self, x):
            y = x.clone()
            corner = y[:, :, :2, :2]
            y.zero_()
            y[:, :, 1] = x[:, :, 5]
            return corner * 1.0

    analysis = analyze(Viewed(), (1, 8, 8))
    assert analysis.output.inputs_seen(0, 0) == (set(), set())
    assert analysis.output.inputs_seen(1, 1) == ({5}, {1})


def test_nested_outputs_get_a_field_each_by_name():
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            y = self.conv(x)
            return {"out": y, "aux": (x, [self.conv(y[:, :3])])}

    outputs = analyze(Many(), (3, 8, 8)).outputs
    assert {name: field.size for name, field in outputs.items()} == {
        "out": (3, 3),
        "aux.0": (1, 1),
        "aux.1.0": (5, 5),
    }


def test_a_forward_without_tensors_is_an_error():
    class Nothing(nn.Module):
        def forward(self, x):
            return None

    with pytest.raises(ForwardError, match="returned no tensor but NoneType"):
        analyze(Nothing(), (3, 8, 8))


def test_tracing_a_plain_network_computes_nothing():
    graph = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), (3, 8, 8))
    made = [v for v in graph.values if v.producer is not None]
    assert made
    assert all(v.constant is None or v.constant.numel() == 0 for v in made)


def test_a_small_network_is_analysed_without_importing_the_compiler():
    import subprocess

    code = (
        "import sys, torch; from torch import nn; from rfcalc.analysis.analyze import analyze;"
        "analyze(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.PixelShuffle(2),"
        "nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)), (3, 32, 32));"
        "sys.exit(any(m in sys.modules for m in ('torch._dynamo', 'sympy')))"
    )
    root = __file__.split("/tests/")[0]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.slow
def test_a_chain_of_10_000_layers_is_analysed_without_recursion():
    depth = 10_000
    model = nn.Sequential(
        *(nn.Conv2d(1, 1, 1 + 2 * (i % 50 == 0), padding=int(i % 50 == 0)) for i in range(depth))
    )
    analysis = analyze(model, (1, 8, 8))
    assert len(analysis.rows) == depth
    assert analysis.output.size == (401, 401)


@pytest.mark.parametrize(
    "wrap",
    [torch.compile, nn.DataParallel, torch.optim.swa_utils.AveragedModel],
    ids=lambda wrap: wrap.__name__,
)
def test_wrappers_are_looked_through(wrap):
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert [row.name for row in analyze(wrap(network), (3, 8, 8)).rows] == ["0"]


def test_a_compiled_part_is_followed_as_it_was_written():
    import torch._dynamo

    def never(graph, inputs):
        raise AssertionError("the compiler was asked")

    part = torch.compile(nn.Sequential(nn.Conv2d(4, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3)), backend=never)
    analysis = analyze(nn.Sequential(nn.Conv2d(3, 4, 3), part), (3, 32, 32))
    assert [(row.op, row.field.size[0]) for row in analysis.rows if row.op == "conv"] == [
        ("conv", 3),
        ("conv", 5),
        ("conv", 9),
    ]


def test_an_error_of_forwards_own_code_is_named_by_its_kind():
    class Net(nn.Module):
        def forward(self, x):
            return {}["missing"]

    with pytest.raises(
        ForwardError, match=r"shapes \(1, 3, 8, 8\): KeyError: 'missing'; the input was 3x8x8"
    ):
        analyze(Net(), (3, 8, 8))


def test_an_input_that_no_tensor_can_hold_is_an_input_error():
    with pytest.raises(InputError, match=r"an input of 3x999999999x999999999 is too large"):
        analyze(nn.Conv2d(3, 4, 3), (3, 999_999_999, 999_999_999))


def test_an_output_that_holds_itself_ends():
    class Net(nn.Module):
        def forward(self, x):
            out = [x * 2]
            out.append(out)
            return out

    assert list(analyze(Net()).outputs) == ["0"]


def test_names_cannot_steer_the_terminal():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("a\n\x1b[2J", nn.Conv2d(3, 8, 3))
            self.add_module("b\n\x1b[2J", nn.Conv2d(3, 8, 3))

        def forward(self, x):
            return {"o\n\x1b[2J": getattr(self, "a\n\x1b[2J")(x)}

    analysis = analyze(Net())
    assert [row.name for row in analysis.rows] == [r"a \x1b[2J", r"b \x1b[2J"]
    assert list(analysis.outputs) == [r"o \x1b[2J"]


def test_layers_in_a_thread_of_their_own_are_no_unused_layers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 8, 3)

        def forward(self, x):
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(self.a, x).result()

    with pytest.raises(ForwardError, match="'a' in a thread of its own"):
        analyze(Net())


def test_a_default_device_of_the_user_is_none_of_the_figures():
    with torch.device("meta"):
        analysis = analyze(nn.Conv2d(3, 8, 3))
        assert int(seen_counts(analysis.field).sum()) == 30 * 30 * 9
