from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import rfcalc
from records.settings import RunSettings
from reports.errors import ReportError
from reports.runs import TrainRun, open_run
from reports.targets import explorable, measure, resolve
from rfcalc import RfcalcError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "examples" / "c1c2c3c4.py")


def test_a_published_network_has_the_figures_of_its_paper() -> None:
    # He et al., 2015: ResNet-20 has 0.27 M parameters; 28 n - 3 = 81 pixels for n = 3.
    analysis = measure(resolve("resnet20"))
    assert (analysis.params, analysis.field.size) == (269_722, (81, 81))


@pytest.mark.parametrize(
    ("given", "size", "expected"),
    [
        ("resnet50_catdog", None, (3, 224, 224)),
        ("residual", None, (3, 32, 32)),
        ("resnet50_catdog", (3, 64, 64), (3, 64, 64)),
        ("resnet8@3x48x40", (3, 64, 64), (3, 48, 40)),
        (EXAMPLE, None, (3, 32, 32)),
        (EXAMPLE, (1, 28, 28), (1, 28, 28)),
        (f"{EXAMPLE}@3x64x64", None, (3, 64, 64)),
    ],
)
def test_the_input_is_what_the_name_says_then_the_option_then_the_networks_own(
    given: str, size: tuple[int, ...] | None, expected: tuple[int, ...]
) -> None:
    assert resolve(given, size).size == expected


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(RfcalcError, match="32y32"):
        resolve("resnet8@32y32")


def test_a_folder_of_that_name_goes_before_the_published_network(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run()
    monkeypatch.chdir(folder.parent)
    folder.rename("resnet20")
    assert resolve("resnet20").record is not None


def test_a_run_folder_brings_its_trained_weights(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    model = rfcalc.load_model(str(folder / "model.py"))
    state = {name: torch.zeros_like(each) for name, each in model.state_dict().items()}
    save_file(state, folder / "best.safetensors")
    analysis = measure(resolve(str(folder)), trained=True)
    parameters = [each.constant for each in analysis.graph.values if each.parameter is not None]
    assert parameters
    assert not any(bool(each.any()) for each in parameters if each is not None)


@pytest.mark.parametrize("content", ["other", b"no tensors"], ids=["another network's", "damaged"])
def test_weights_that_do_not_fit_are_named(make_run: Callable[..., Path], content: str | bytes) -> None:
    folder = make_run()
    if isinstance(content, bytes):
        (folder / "best.safetensors").write_bytes(content)
    else:
        save_file({content: torch.zeros(1)}, folder / "best.safetensors")
    with pytest.raises(ReportError, match=r"best\.safetensors does not hold the weights of the model\.py"):
        measure(resolve(str(folder)), trained=True)


def test_the_same_target_gives_the_same_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    weights = []
    for _ in range(2):
        analysis = measure(resolve(EXAMPLE))
        weights.append(next(v.constant for v in analysis.graph.values if v.parameter is not None))
    assert weights[0] is not None
    assert weights[1] is not None
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(torch.rand(1), expected)


def test_the_explorer_takes_the_folder_of_a_run_or_what_built_its_network(
    make_run: Callable[..., Path],
) -> None:
    folder = make_run()
    run = open_run(folder)
    assert isinstance(run, TrainRun)
    assert explorable(run) == str(folder)
    (folder / "model.py").unlink()
    assert explorable(replace(run, record=replace(run.record, target="net.py:Net", settings=None))) == (
        "net.py:Net"
    )
    settings = RunSettings(arguments=("width=3",))
    assert (
        explorable(replace(run, record=replace(run.record, target="net.py:Net", settings=settings))) is None
    )
