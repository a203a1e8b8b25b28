"""RunSettings: what a training run was asked for, as run.json keeps it and as train.py's flags fill it.

A setting is declared here once: its type, its default, its flag and its help. Paths are texts, as in JSON.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

from records.codec import Between, Share
from records.flags import flag, switch
from records.readers import LARGEST_SEED, fraction, natural, path_text, positive, seed

CACHE = "data/cache"
"""Where decoded images are kept unless `--cache` names another folder."""
Positive = Annotated[int, Between(1, 2**31 - 1)]
Natural = Annotated[int, Between(0, 2**31 - 1)]
Seed = Annotated[int, Between(0, LARGEST_SEED)]
_NETWORK, _DATA, _TRAINING = "network (one of)", "data", "training"
_TRANSFER = "transfer learning"


@dataclass(frozen=True)
class RunSettings:
    """The flags that define a training run, with those that only say how it is carried out."""

    preset: str | None = flag(
        "tiny (default), residual (default on a GPU), residual-mcu, transposed, wide, or a "
        "published network: resnet8, resnet20, cifar10_transpose, ...",
        metavar="NAME",
        group=_NETWORK,
        exclusive="network",
    )
    spec: str | None = flag(
        "a spec.json", read=path_text, metavar="FILE", group=_NETWORK, exclusive="network"
    )
    model: str | None = flag(
        "any network: model.py:Name, package.module:name, a run folder, a spec.json or a name",
        metavar="TARGET",
        group=_NETWORK,
        exclusive="network",
    )
    arguments: tuple[str, ...] = flag(
        "keyword argument of the class or function that --model names; may be repeated",
        default=(),
        word="--arg",
        metavar="NAME=VALUE",
        group=_NETWORK,
        repeated=True,
    )
    repeat: str | None = flag(
        "repeat a run by its run.json: network, recipe, data, seed",
        word="--from",
        read=path_text,
        metavar="RUN",
        group=_NETWORK,
        exclusive="network",
    )
    pretrained: str | None = flag(
        "begin with pretrained weights: lite0 (default), torchvision:NAME[:WEIGHTS] or timm:NAME",
        metavar="SOURCE",
        bare="lite0",
        group=_TRANSFER,
    )
    weights_from: str | None = flag(
        "read the pretrained weights from a .safetensors, .pth or .pt file",
        read=path_text,
        metavar="FILE",
        group=_TRANSFER,
    )
    weights_sha256: str | None = flag(
        "checksum of that file, 8 digits or more", metavar="DIGITS", group=_TRANSFER
    )
    head: str | None = flag(
        "hidden widths of the new head: 512,256 (default: one linear layer)", metavar="A,B", group=_TRANSFER
    )
    dropout: Share | None = flag(
        "after each hidden layer of the head (default 0)", read=fraction, metavar="P", group=_TRANSFER
    )
    freeze: str | None = flag(
        "all (default), none, or how many stages of the backbone stay as they are",
        metavar="K",
        group=_TRANSFER,
    )
    unfreeze: str | None = flag(
        "train the last K stages of the backbone too, from an epoch on: 1@2",
        metavar="K@EPOCH",
        group=_TRANSFER,
    )
    input: Positive | None = flag(
        "side of the images in pixels (default: as the weights want it)",
        read=positive,
        metavar="N",
        group=_TRANSFER,
    )
    crop: Share | None = flag(
        "share of the shorter side that is cut out (default: as the weights want it)",
        read=fraction,
        metavar="SHARE",
        group=_TRANSFER,
    )
    log_every: Positive | None = flag(
        "print the mean loss of each N batches, and keep it in log.txt",
        read=positive,
        metavar="N",
        group=_TRANSFER,
    )
    data: str | None = flag(
        "cifar10, cifar100, shapes, or a folder or archive of {train,test}/<class>/* (default: CIFAR-10 "
        "where it is present or can be downloaded, else shapes)",
        metavar="D",
        group=_DATA,
    )
    cache: str = flag(
        "where decoded images are kept", default=CACHE, read=path_text, metavar="DIR", group=_DATA
    )
    resize: Positive | None = flag(
        "bring every image to N x N pixels", read=positive, metavar="N", group=_DATA
    )
    skip_unreadable: bool = switch("leave out images that cannot be read, and list them", group=_DATA)
    subset: Positive | None = flag(
        "training images, every class in proportion (default all)", read=positive, metavar="N", group=_DATA
    )
    full: bool = switch("train on train + validation, report test", group=_DATA)
    recipe: str = flag(
        "fast, standard, record, transfer, published-transpose, published-dilated, or a recipe.json",
        default="fast",
        group=_TRAINING,
    )
    changes: tuple[str, ...] = flag(
        "a value in the recipe: lr=0.1, batch_size=128; may be repeated",
        default=(),
        word="--set",
        metavar="KEY=VALUE",
        group=_TRAINING,
        repeated=True,
    )
    epochs: Positive | None = flag("instead of the recipe's", read=positive, metavar="N", group=_TRAINING)
    policy: str | None = flag(
        "augmentation policy instead of the recipe's: none, light, cutout, mild, "
        "assignment, strong, crop, jitter",
        group=_TRAINING,
    )
    balance: str | None = flag(
        "for classes of unequal size: weigh them alike in the loss, or draw them equally often",
        choices=("none", "loss", "sample"),
        group=_TRAINING,
    )
    seed: Seed = flag(
        "of weights, shuffling and augmentation", default=0, read=seed, metavar="N", group=_TRAINING
    )
    teacher: str | None = flag(
        "learn from a trained network too: a run or its weights",
        read=path_text,
        metavar="RUN",
        group=_TRAINING,
    )
    device: str = flag(
        "where to compute", default="auto", choices=("auto", "cpu", "cuda", "mps"), group=_TRAINING
    )
    workers: Natural | None = flag(
        "threads of the CPU that augment ahead (default: none where it also trains, else 4)",
        read=natural,
        metavar="N",
        group=_TRAINING,
    )
    augment: str | None = flag(
        "where images are augmented (default auto)", choices=("auto", "cpu", "gpu"), group=_TRAINING
    )
    compile: str | None = flag(
        "torch.compile or CUDA graphs (default auto: where it pays)",
        choices=("auto", "off", "on", "graphs"),
        group=_TRAINING,
    )
    deterministic: bool = switch("the same bits at every run, slower", group=_TRAINING)
    tensorboard: bool = switch("log for TensorBoard, too", group=_TRAINING)


def settings_of(options: RunSettings) -> RunSettings:
    """Return the settings alone of options that extend them."""
    return RunSettings(**values_of(options))


def values_of(settings: RunSettings) -> dict[str, Any]:
    """Return the settings by name."""
    return {each.name: getattr(settings, each.name) for each in dataclasses.fields(RunSettings)}
