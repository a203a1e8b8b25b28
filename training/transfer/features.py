"""Features: what the frozen stages of a network return for every photograph, computed once and kept.

    <cache>/features-<key>.safetensors

The key identifies everything that the numbers depend on: weights, stages, preprocessing, data set, mirroring.
The file appears whole, and its checksum is compared before it is used.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from records.files import whole
from training.data.progress import advancing, say
from training.data.registry import Dataset, Split
from training.errors import TrainingError
from training.fit.device import Normalise
from training.transfer.architecture import Architecture
from training.transfer.sources import Pretrained
from training.transfer.stages import Stage, run
from training.transfer.tail import Maps

_FORMAT = 1
_BATCH = 50


def frozen_maps(
    stages: Sequence[Stage],
    dataset: Dataset,
    architecture: Architecture,
    pretrained: Pretrained,
    *,
    mirrored: bool,
    cache: Path,
    device: torch.device,
    console: Console,
) -> tuple[Maps, Maps]:
    """Return the maps of the training and of the test photographs, from the cache where it has them.

    Args:
        stages: The frozen ones, from the first, on the device.
        dataset: Photographs prepared as the weights want them.
        architecture: Of the network that the stages are of.
        pretrained: The weights in them.
        mirrored: Compute the maps of the mirrored training photographs, too.
        cache: Folder of the file.
        device: Where to compute.
        console: Where progress is shown.

    Raises:
        TrainingError: The cache cannot be written.
    """
    path = cache / f"features-{_key(stages, dataset, architecture, pretrained, mirrored)}.safetensors"
    arrays = _read(path, console)
    if arrays is None:
        arrays = _compute(stages, dataset, mirrored, device, console)
        _write(path, arrays)
    train = Maps(arrays["train"], np.asarray(dataset.train.labels), arrays.get("mirrored"))
    return train, Maps(arrays["test"], np.asarray(dataset.test.labels))


def _key(
    stages: Sequence[Stage],
    dataset: Dataset,
    architecture: Architecture,
    pretrained: Pretrained,
    mirrored: bool,
) -> str:
    facts = {
        "format": _FORMAT,
        "weights": pretrained.sha256,
        "backbone": f"{architecture.library}:{architecture.name}",
        "preprocessing": architecture.preprocessing.to_json(),
        "stages": [stage.name for stage in stages],
        "data": dataset.fingerprint,
        "mirrored": mirrored,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _compute(
    stages: Sequence[Stage], dataset: Dataset, mirrored: bool, device: torch.device, console: Console
) -> dict[str, npt.NDArray[np.floating]]:
    count = len(dataset.train) * (1 + mirrored) + len(dataset.test)
    text = f"features of {len(dataset.train) + len(dataset.test):,} photographs"
    with advancing(console, text, count, in_bytes=False) as advance:
        normalise = Normalise(dataset.mean, dataset.std, device)

        def maps_of(split: Split, flip: bool) -> npt.NDArray[np.floating]:
            rows = []
            for start in range(0, len(split), _BATCH):
                images = torch.from_numpy(np.array(split.images[start : start + _BATCH])).permute(0, 3, 1, 2)
                batch = normalise(images.flip(3) if flip else images, torch.channels_last)
                # no_grad and not inference_mode: a head cannot be trained on inference tensors.
                with torch.no_grad():
                    maps = run(stages, batch).float().cpu().numpy()
                # Pooled features are small; maps inside the backbone take 147 kB a photograph in float32.
                rows.append(maps if maps.ndim == 2 else maps.astype(np.float16))
                advance(len(batch))
            return np.concatenate(rows)

        arrays = {"train": maps_of(dataset.train, flip=False), "test": maps_of(dataset.test, flip=False)}
        if mirrored:
            arrays["mirrored"] = maps_of(dataset.train, flip=True)
    return arrays


def _write(path: Path, arrays: dict[str, npt.NDArray[np.floating]]) -> None:
    from safetensors.numpy import save_file

    try:
        with whole(path) as temporary:
            save_file(arrays, temporary, metadata={"crc32": json.dumps(_checksums(arrays))})
    except OSError as error:
        raise TrainingError(
            f"cannot write the cache {path.parent}: {error.strerror or error}; choose another with --cache"
        ) from error


def _read(path: Path, console: Console) -> dict[str, npt.NDArray[np.floating]] | None:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            kept = json.loads((file.metadata() or {}).get("crc32", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        say(console, f"{path} cannot be read ({' '.join(str(error).split())}): computing it again")
        return None
    if kept != _checksums(arrays):
        say(console, f"{path} has changed: computing it again")
        return None
    return arrays


def _checksums(arrays: dict[str, npt.NDArray[np.floating]]) -> dict[str, int]:
    return {name: zlib.crc32(np.ascontiguousarray(value).data) for name, value in arrays.items()}
