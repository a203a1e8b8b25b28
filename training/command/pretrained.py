"""`--pretrained`: weights, head and frozen stages as the flags ask for them, before images are decoded."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from records.run import TransferFacts
from records.settings import RunSettings
from training.errors import TrainingError
from training.fit.recipe import Recipe
from training.transfer.architecture import Architecture, Head, classifier_of
from training.transfer.sources import DEFAULT, Pretrained, load_pretrained
from training.transfer.stages import Stage, freeze, frozen_count, stages_of, unfreeze
from training.transfer.tail import Unfreezing

RECIPE = "transfer"
"""Recipe of pretrained runs unless `--recipe` names another."""
_FLAGS = (
    "weights_from",
    "weights_sha256",
    "head",
    "dropout",
    "freeze",
    "unfreeze",
    "input",
    "crop",
    "log_every",
)


@dataclass(frozen=True)
class Published:
    """A published network as a backbone with a head."""

    source: str
    head: Head
    freeze: str
    input: int | None = None


PUBLISHED = {
    "densenet121_catdog": Published(
        "torchvision:densenet121", Head((512, 256), dropout=0.2, log_softmax=True), "none", input=244
    ),
    "resnet50_catdog": Published("torchvision:resnet50", Head(), "all"),
    "resnet50_catdog_deep": Published("torchvision:resnet50", Head((270, 90)), "none"),
}
"""What `--preset NAME --pretrained` trains."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """A pretrained run before its images are known."""

    pretrained: Pretrained
    architecture: Architecture
    """For two classes, until the images are known."""
    frozen: int
    """How many stages of the backbone stay as they are from the first epoch on."""
    stages: int
    """How many stages the backbone has."""
    unfreezing: Unfreezing | None

    @property
    def cut(self) -> int:
        """How many stages never train: their maps are computed once."""
        return self.frozen - (self.unfreezing.stages if self.unfreezing else 0)

    @property
    def trained(self) -> int:
        """How many stages of the backbone train from the first epoch on."""
        return self.stages - self.frozen

    def build(self, classes: int, seed: int) -> tuple[nn.Module, tuple[Stage, ...], Architecture]:
        """Return the network with its pretrained weights, its stages, and its architecture.

        Every stage of the backbone keeps the statistics of its norms; the frozen ones keep everything.
        """
        architecture = self.pretrained.architecture(self.architecture.head, classes).resized(
            input=self.architecture.preprocessing.input, crop=self.architecture.preprocessing.crop
        )
        torch.manual_seed(seed)
        network = architecture.build()
        self.pretrained.give_to(network, classifier_of(architecture, network))
        stages = stages_of(architecture, network)
        for position, stage in enumerate(stages[:-1]):
            freeze(stage)
            if position >= self.frozen:
                unfreeze(stage)
        return network, stages, architecture

    def facts(self, architecture: Architecture) -> TransferFacts:
        """Return what run.json holds of it."""
        return TransferFacts(
            architecture=architecture.to_json(),
            source=self.pretrained.source,
            sha256=self.pretrained.sha256,
            frozen_stages=self.frozen,
            stages=self.stages,
        )


def asked_for(options: RunSettings, given: Collection[str]) -> Transfer | None:
    """Return the pretrained run that the flags ask for, its weights loaded; None where they ask for none.

    Args:
        options: Of train.py.
        given: Names of the options that the user typed.

    Raises:
        TrainingError: The flags do not go together, or the weights cannot be used.
    """
    if options.pretrained is None:
        if alone := next((name for name in _FLAGS if name in given), None):
            raise TrainingError(f"--{alone.replace('_', '-')} means nothing without --pretrained")
        return None
    for name in ("spec", "model", "repeat", "resize", "teacher"):
        if getattr(options, name) is not None:
            word = "--from" if name == "repeat" else f"--{name}"
            raise TrainingError(f"{word} does not go together with --pretrained")
    published = _published(options)
    source = options.pretrained if published is None else published.source
    pretrained = load_pretrained(
        source,
        file=Path(options.weights_from) if options.weights_from else None,
        sha256=options.weights_sha256,
    )
    head = _head(options, published)
    size = options.input or (published.input if published else None)
    architecture = pretrained.architecture(head, classes=2).resized(input=size, crop=options.crop)
    network = architecture.build()
    pretrained.give_to(network, classifier_of(architecture, network))
    backbone = len(stages_of(architecture, network)) - 1
    wanted = options.freeze or (published.freeze if published else "all")
    frozen = frozen_count(wanted, backbone + 1)
    unfreezing = _unfreezing(options.unfreeze, frozen)
    return Transfer(pretrained, architecture, frozen, backbone, unfreezing)


def reads_photographs(recipe: Recipe) -> str | None:
    """Return why a recipe needs the photographs in every epoch, frozen backbone or not; None: it does not."""
    if recipe.policy != "none":
        return f"policy {recipe.policy} changes the photographs in every epoch"
    if recipe.mixup or recipe.cutmix:
        return f"the recipe {recipe.name} mixes photographs"
    if recipe.optimizer != "adamw" or recipe.ema or recipe.clip:
        return f"the recipe {recipe.name} does more than AdamW"
    return None


def is_cached(transfer: Transfer, recipe: Recipe, options: RunSettings) -> bool:
    """Return whether the maps of the frozen stages are computed once, in place of a run through all stages.

    Raises:
        TrainingError: Stages shall join later, which only cached ones can.
    """
    cached = transfer.cut > 0 and reads_photographs(recipe) is None
    if transfer.unfreezing is not None and not cached:
        reason = reads_photographs(recipe) or "no stage stays frozen"
        raise TrainingError(
            f"--unfreeze {options.unfreeze}: stages join later only where those before them are cached, but "
            f"{reason}; take --freeze K with that, or leave it out"
        )
    return cached


def _published(options: RunSettings) -> Published | None:
    if options.preset is None:
        return None
    if options.preset not in PUBLISHED:
        raise TrainingError(
            f"--preset {options.preset}: has no pretrained weights; with --pretrained choose one of "
            f"{', '.join(PUBLISHED)}, or leave --preset out"
        )
    if options.pretrained != DEFAULT:
        raise TrainingError(
            f"--preset {options.preset} names its own backbone; "
            f"leave {options.pretrained} out after --pretrained"
        )
    return PUBLISHED[options.preset]


def _head(options: RunSettings, published: Published | None) -> Head:
    head = published.head if published is not None else Head()
    hidden, dropout = head.hidden, head.dropout
    if options.head is not None:
        try:
            hidden = tuple(int(width) for width in options.head.split(",") if options.head.isascii())
        except ValueError:
            hidden = ()
        if not hidden:
            raise TrainingError(f"--head {options.head}: must be widths of hidden layers, such as 512,256")
    if options.dropout is not None:
        dropout = options.dropout
    return Head(hidden, dropout, head.log_softmax)


def _unfreezing(text: str | None, frozen: int) -> Unfreezing | None:
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,3})@([0-9]{1,6})", text)
    if found is None or not int(found[1]) >= 1 or not int(found[2]) >= 1:
        raise TrainingError(
            f"--unfreeze {text}: must be K@EPOCH, the last K stages from an epoch on, such as 1@2"
        )
    stages, epoch = int(found[1]), int(found[2])
    if stages > frozen:
        raise TrainingError(f"--unfreeze {text}: only {frozen} stages are frozen")
    return Unfreezing(stages, epoch)
