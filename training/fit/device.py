"""Where to compute, and in which precision and memory layout."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from training.errors import TrainingError
from training.fit.memory import ran_out
from training.fit.precision import autocast, float32_where_bfloat16_is_unfit
from training.fit.recipe import Recipe

_PIXELS = 1 << 18
"""Pixels of the batches that are timed at most: 256 images of 32 x 32."""
DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve(device: str) -> torch.device:
    """Turn "auto" or a device's name into a device that is there.

    Raises:
        TrainingError: There is no such device here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise TrainingError(f"there is no device {device!r}; choose one of {', '.join(DEVICES)}") from error
    with warnings.catch_warnings(record=True) as reasons:
        warnings.simplefilter("always")  # torch's warning says why: a driver older than the toolkit, say
        available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(found.type, False):
        text = " ".join(str(reasons[0].message).split("(Triggered")[0].split()) if reasons else ""
        why = f" ({text.rstrip('. ')})" if text and found.type == "cuda" else ""
        raise TrainingError(f"device {device!r} is not available here{why}; use --device cpu, or auto")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise TrainingError(
            f"device {device!r} is not there: this machine has {torch.cuda.device_count()} GPUs"
        )
    return found


def may_return_early(device: torch.device) -> bool:
    """Return whether a copy of pageable memory to `device` may be left under way (`non_blocking`).

    CUDA has read such memory before it returns. Apple's devices have not: what the caller frees meanwhile is
    read when it holds something else.
    """
    return device.type == "cuda"


class Normalise:
    """Turns uint8 images into what the network reads, on the device."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._scale = 1 / torch.tensor(std, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._device = device

    def __call__(self, images: torch.Tensor, memory_format: torch.memory_format) -> torch.Tensor:
        """Return (B, 3, H, W) float32 with mean 0 and deviation 1 a channel over the data set."""
        images = images.to(self._device, non_blocking=may_return_early(self._device))
        result = images.to(torch.float32, memory_format=memory_format)
        return result.sub_(self._mean).mul_(self._scale)


def resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return (B, C, H, W) images of another height and width; they themselves where they have that size."""
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def memory_format(layout: str) -> torch.memory_format:
    """Return torch's own name of a recipe's layout."""
    return torch.channels_last if layout == "channels_last" else torch.contiguous_format


def settle(
    recipe: Recipe,
    model: nn.Module,
    image_size: tuple[int, int],
    device: torch.device,
    *,
    deterministic: bool = False,
    data_bytes: int = 0,
) -> Recipe:
    """Replace every "auto" in a recipe by what serves this network best here.

    Precision and layout: on a CPU what a few steps of a copy need least time with (about a second), because
    no rule holds: bfloat16 wins where plain convolutions dominate and loses with depthwise ones. Elsewhere,
    and in deterministic runs, a fixed rule decides: bfloat16 on CUDA, where the network runs in it.
    Augmentation: on the GPU where `data_bytes` of images fit there well. Compiling: a recorded step on CUDA,
    off elsewhere.

    Raises:
        TrainingError: The recipe asks for what is not here.
    """
    # What is refused is refused before anything is measured.
    augmented, compiled = _augment(recipe.augment, device, data_bytes), _compile(recipe.compile, device)
    precisions = ("float32", "bfloat16") if recipe.precision == "auto" else (recipe.precision,)
    layouts = ("channels_last", "contiguous") if recipe.layout == "auto" else (recipe.layout,)
    choices = [(precision, layout) for precision in precisions for layout in layouts]
    if device.type == "cuda":
        bf16 = "bfloat16" in precisions and torch.cuda.is_bf16_supported(including_emulation=False)
        if bf16 and len(precisions) > 1:
            bf16 = _runs(model, image_size, device, "bfloat16")
        chosen = ("bfloat16" if bf16 else precisions[0], layouts[0])
    elif len(choices) == 1 or deterministic or device.type != "cpu":
        chosen = choices[0]
    else:
        # Of photographs a few: DenseNet-121 would need minutes for the steps of whole batches.
        images = max(2, min(recipe.batch_size, _PIXELS // (image_size[0] * image_size[1])))
        chosen = _fastest(choices, model, (images, 3, *image_size))
    return dataclasses.replace(
        recipe,
        precision=chosen[0],
        layout=chosen[1],
        augment=augmented,
        compile=compiled,
    )


def _augment(asked: str, device: torch.device, data_bytes: int) -> str:
    library = importlib.util.find_spec("albumentations") is not None
    if asked == "cpu" and not library:
        raise TrainingError("augment=cpu needs albumentations, which is not installed; use augment=gpu")
    if asked != "auto":
        return asked
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return "gpu" if not library or 4 * data_bytes < free else "cpu"
    return "cpu" if library else "gpu"


def _compile(asked: str, device: torch.device) -> str:
    if asked == "graphs" and device.type != "cuda":
        raise TrainingError(f"compile=graphs records CUDA graphs, but the device is {device}; use on or off")
    if asked == "auto":
        # Measured on an H200: a recorded step takes a quarter to a nineteenth of the plain loop.
        return "graphs" if device.type == "cuda" else "off"
    return asked


def _fastest(choices: list[tuple[str, str]], model: nn.Module, shape: tuple[int, ...]) -> tuple[str, str]:
    # A private stream of random numbers: the choice must not move the run's own.
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    seconds = dict.fromkeys(choices, float("inf"))
    networks = {
        choice: copy.deepcopy(model).to(memory_format=memory_format(choice[1])).train() for choice in choices
    }
    with torch.random.fork_rng(devices=[]):
        for _ in range(4):  # interleaved, and the least of each: other programs slow all of them alike
            for choice in list(networks):
                began = time.perf_counter()
                try:
                    _step(networks[choice], images.to(memory_format=memory_format(choice[1])), choice[0])
                except RuntimeError:  # some networks mix tensors that bfloat16 makes and float32 ones
                    del networks[choice]
                    if not networks:
                        raise
                    continue
                seconds[choice] = min(seconds[choice], time.perf_counter() - began)
    return min(choices, key=seconds.__getitem__)


def _runs(model: nn.Module, image_size: tuple[int, int], device: torch.device, precision: str) -> bool:
    """Return whether a step can be made in `precision` at all; two images of a copy say so."""
    images = torch.zeros((2, 3, *image_size), device=device)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            _step(copy.deepcopy(model).to(device).train(), images, precision)
    except RuntimeError as error:
        return ran_out(error)
    return True


def fits(model: nn.Module, shape: tuple[int, ...], device: torch.device, precision: str) -> bool:
    """Return whether the memory suffices for a step of a copy on images of `shape`, (B, 3, H, W)."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            _step(copy.deepcopy(model).train(), torch.zeros(shape, device=device), precision)
    except (RuntimeError, MemoryError) as error:
        return not ran_out(error)
    return True


def check_size(model: nn.Module, size: tuple[int, int], device: torch.device) -> None:
    """Refuse the height and width of smaller images that a network cannot read.

    Raises:
        TrainingError: Its forward fails on an image of that size.
    """
    network = copy.deepcopy(model).eval()
    try:
        with torch.no_grad():
            network(torch.zeros((1, 3, *size), device=device))
    except RuntimeError as error:
        if ran_out(error):
            raise
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise TrainingError(
            f"the network cannot read images of {size[1]}x{size[0]} pixels ({first.strip()}); "
            "use small_share=0, or a larger small_scale"
        ) from error


def _step(network: nn.Module, images: torch.Tensor, precision: str) -> None:
    device = images.device
    with float32_where_bfloat16_is_unfit(network, device, precision), autocast(device, precision):
        logits = network(images)
        if not isinstance(logits, torch.Tensor):
            return  # nothing to learn from: the first step of the training says so
        loss = F.cross_entropy(logits.flatten(1), torch.zeros(len(images), dtype=torch.int64, device=device))
    loss.backward()  # type: ignore[no-untyped-call]


@contextmanager
def determinism(wanted: bool, device: torch.device) -> Iterator[None]:
    """Choose exact or fast kernels, and leave the process's settings as they were."""
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    if wanted and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = not wanted and device.type == "cuda"
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
