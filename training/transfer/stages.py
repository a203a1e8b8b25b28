"""Stages: a pretrained network cut into consecutive parts; the first of them can be frozen and cached."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from training.errors import TrainingError
from training.transfer.architecture import Architecture, classifier_of

BACKBONE_SHARE = 1 / 30
"""Learning rate of backbone stages as a multiple of the head's: they only need to be adjusted. Of the recipe
`transfer` that is 1e-4."""
Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Stage:
    """One part of a network."""

    name: str
    modules: tuple[nn.Module, ...]
    """Everything that the part runs; its parameters are frozen together."""
    run: Run
    """Reads what the stage before returned. All stages one after the other are the network's own forward."""
    own: tuple[nn.Parameter, ...] = ()
    """Parameters that belong to no module of the part, such as the position embedding of a transformer."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Yield every parameter of the part."""
        for module in self.modules:
            yield from module.parameters()
        yield from self.own


def stages_of(architecture: Architecture, network: nn.Module) -> tuple[Stage, ...]:
    """Cut a network that `Architecture.build` returned; the last stage is the head.

    A network of a family that is not known here has two stages: the whole backbone, and the head.
    """
    place = classifier_of(architecture, network)
    head = network.get_submodule(place)
    find = _of_timm if architecture.library == "timm" else _of_torchvision
    *first, last = find(network, place)
    return (*first, last, Stage("head", (head,), head))


def run(stages: Iterable[Stage], x: torch.Tensor) -> torch.Tensor:
    """Run `stages` one after the other."""
    for stage in stages:
        x = stage.run(x)
    return x


def frozen_count(text: str, stages: int) -> int:
    """Read `--freeze`: how many of `stages` stages are frozen, the head not counted among them.

    Raises:
        TrainingError: Neither "all", "none" nor a number of stages.
    """
    if text in ("all", "none"):
        return stages - 1 if text == "all" else 0
    if text.isascii() and text.isdigit() and len(text) < 4 and int(text) < stages:
        return int(text)
    raise TrainingError(
        f"--freeze {text}: must be all, none, or the number of stages that stay frozen, 0 to {stages - 1}"
    )


def freeze(stage: Stage) -> None:
    """Keep a part of a network as its weights' file has it, whatever calls `train()`.

    Its parameters get no gradient. Its BatchNorm statistics do not move and its dropout lets everything pass,
    because each of its modules puts itself into eval mode before it runs: `train()` of the whole network
    wakes modules without a trainable parameter too, and on cats and dogs that costs four points of accuracy.
    """
    for parameter in stage.parameters():
        parameter.requires_grad_(False)
    for module in _all_modules(stage):
        module.eval()
        module.register_forward_pre_hook(_to_eval)


def unfreeze(stage: Stage) -> None:
    """Let the parameters of a frozen part train; its norms and dropout stay in eval mode.

    The statistics of its norms were measured on millions of images, and a few thousand photographs only make
    them worse: 98.9 % of the cats and dogs with moving statistics, 99.35 % without.
    """
    for parameter in stage.parameters():
        parameter.requires_grad_(True)


def shares_of(network: nn.Module, stages: Iterable[Stage]) -> dict[str, float]:
    """Return the learning rates of the backbone's parameters as multiples of the head's, by name.

    Args:
        network: The stages are of it.
        stages: All of them; the last is the head.
    """
    backbone = {id(parameter) for stage in tuple(stages)[:-1] for parameter in stage.parameters()}
    return {name: BACKBONE_SHARE for name, value in network.named_parameters() if id(value) in backbone}


class Snapshot:
    """The numbers in some stages at one moment, which can be brought back.

    Args:
        stages: Their parameters and buffers are kept.
    """

    def __init__(self, stages: Iterable[Stage]) -> None:
        held = [
            value
            for stage in stages
            for values in (*(module.state_dict().values() for module in stage.modules), stage.own)
            for value in values
        ]
        self._kept = [(value.detach(), value.detach().clone()) for value in held]

    def restore(self) -> None:
        """Bring the numbers back."""
        for value, kept in self._kept:
            value.copy_(kept)


def _to_eval(module: nn.Module, inputs: Any) -> None:
    module.training = False


def _all_modules(stage: Stage) -> Iterable[nn.Module]:
    for module in stage.modules:
        yield from module.modules()


def _stage(name: str, *modules: nn.Module) -> Stage:
    def run(x: torch.Tensor) -> torch.Tensor:
        for module in modules:
            x = module(x)
        return x

    return Stage(name, modules, run)


def _then(stage: Stage, pool: Run) -> Stage:
    """Return `stage` followed by the global pooling, whose result (N, features) the head reads."""
    body = stage.run
    return replace(stage, run=lambda x: pool(body(x)))


def _of_torchvision(network: nn.Module, place: str) -> list[Stage]:
    child = network.get_submodule
    if hasattr(network, "layer4"):
        stem = _stage("stem", *(child(name) for name in ("conv1", "bn1", "relu", "maxpool")))
        *layers, last = (_stage(f"layer{i}", child(f"layer{i}")) for i in (1, 2, 3, 4))
        return [stem, *layers, _then(last, _average)]
    if hasattr(network, "trunk_output"):
        *blocks, last = (_stage(name, block) for name, block in child("trunk_output").named_children())
        return [_stage("stem", child("stem")), *blocks, _then(last, _average)]
    features = dict(child("features").named_children())
    if "denseblock4" in features:
        stem = _stage("stem", *(features[name] for name in ("conv0", "norm0", "relu0", "pool0")))
        blocks = [
            _stage(f"denseblock{i}", features[f"denseblock{i}"], features[f"transition{i}"])
            for i in (1, 2, 3)
        ]
        last = _stage("denseblock4", features["denseblock4"], features["norm5"])
        return [stem, *blocks, _then(last, lambda x: _average(nn.functional.relu(x)))]
    # MobileNetV2 and EfficientNet: the last convolution is no stage of its own.
    *blocks, block, convolution = (_stage(f"features.{name}", module) for name, module in features.items())
    last = _stage(block.name, *block.modules, *convolution.modules)
    return [*blocks, _then(last, _average)]


def _of_timm(network: nn.Module, place: str) -> list[Stage]:
    child = network.get_submodule
    pool = _timm_pooling(network)
    if hasattr(network, "conv_stem") and hasattr(network, "conv_head") and hasattr(network, "bn2"):
        *blocks, block = (_stage(f"blocks.{name}", each) for name, each in child("blocks").named_children())
        last = _stage(block.name, *block.modules, child("conv_head"), child("bn2"))
        return [_stage("stem", child("conv_stem"), child("bn1")), *blocks, _then(last, pool)]
    if hasattr(network, "layer4") and hasattr(network, "act1") and hasattr(network, "maxpool"):
        stem = _stage("stem", *(child(name) for name in ("conv1", "bn1", "act1", "maxpool")))
        *layers, last = (_stage(f"layer{i}", child(f"layer{i}")) for i in (1, 2, 3, 4))
        return [stem, *layers, _then(last, pool)]
    if type(network).__name__ == "ConvNeXt":
        *blocks, last = (_stage(f"stages.{name}", each) for name, each in child("stages").named_children())
        # What lies between the last stage and the head, a norm among others, is frozen with the last stage.
        rest = [each for name, each in network.named_children() if name not in ("stem", "stages")]
        between = tuple(each for group in rest for each in group.children() if not _holds_linear(each))
        return [
            _stage("stem", child("stem")),
            *blocks,
            _then(replace(last, modules=last.modules + between), pool),
        ]
    forward: Any = network.forward_features
    body = tuple(each for name, each in network.named_children() if name != place.partition(".")[0])
    own = tuple(network.parameters(recurse=False))
    return [_then(Stage("backbone", body, forward, own), pool)]


def _holds_linear(module: nn.Module) -> bool:
    return any(isinstance(each, nn.Linear) for each in module.modules())


def _timm_pooling(network: nn.Module) -> Run:
    forward: Any = network.forward_head

    def pool(x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = forward(x, pre_logits=True)
        return features

    return pool


def _average(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
