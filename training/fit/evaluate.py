"""Accuracy, loss and confusion of a network on samples."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.data.samples import Samples
from training.errors import TrainingError
from training.fit.device import Normalise, resolve
from training.fit.memory import ran_out


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The answers of a network to N images of C classes."""

    accuracy: float
    """Share of right answers, 0-1."""
    loss: float
    """Mean cross-entropy, without label smoothing."""
    labels: npt.NDArray[np.int64]
    """(N,)"""
    probabilities: npt.NDArray[np.float32]
    """(N, C), each row sums to 1."""
    confusion: npt.NDArray[np.int64]
    """(C, C) counts: row the true class, column the answer."""

    @property
    def losses(self) -> npt.NDArray[np.float32]:
        """(N,) cross-entropy of each image; `loss` is their mean."""
        chosen = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.asarray(-np.log(np.maximum(chosen, np.finfo(np.float32).tiny)), dtype=np.float32)

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """(N,) the answers."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """(N,) probability of the answer."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float32)

    @property
    def per_class(self) -> npt.NDArray[np.float64]:
        """(C,) accuracy on the images of each class; NaN for a class without images."""
        counts = self.confusion.sum(axis=1)
        right = np.diagonal(self.confusion).astype(np.float64)
        accuracy = np.full(len(counts), np.nan)
        np.divide(right, counts, out=accuracy, where=counts > 0)
        return accuracy


def evaluate(
    model: nn.Module, samples: Samples, *, device: str = "cpu", batch_size: int = 500, flip: bool = False
) -> Evaluation:
    """Evaluate `model` in float32; its device and mode are left as they were found.

    Args:
        model: Network from (B, 3, H, W) to (B, C) logits.
        samples: Images to answer.
        device: "cpu", "cuda", "mps" or "auto".
        batch_size: Images at a time; fewer where the memory does not suffice.
        flip: Average the probabilities of each image and its mirror image: test-time augmentation, a figure
            of its own kind that is never to be mixed with the plain accuracy.

    Raises:
        TrainingError: The network's classes are not as many as the samples', one image is too large, or the
            network answers with NaN.
    """
    place = resolve(device)
    if any(_elsewhere(parameter.device, place) for parameter in model.parameters()):
        # A copy: moved there and back, the network would no longer be in the memory that an average knows.
        model = copy.deepcopy(model).to(place)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        rows = _rows(model, samples, place, batch_size, flip)
    finally:
        for module, training in modes:
            module.training = training
    probabilities = torch.cat(rows)
    if not bool(probabilities.isfinite().all()):
        wrong = int((~probabilities.isfinite().all(dim=1)).sum())
        raise TrainingError(
            f"the network answers {wrong:,} of {len(samples):,} images with NaN: its weights are of no use "
            "(its training may have diverged)"
        )
    return _judge(probabilities, samples)


def _elsewhere(device: torch.device, place: torch.device) -> bool:
    # "cuda" is wherever on CUDA a network is; its parameters say "cuda:0".
    return place not in (device, torch.device(device.type))


def _rows(
    model: nn.Module, samples: Samples, place: torch.device, batch_size: int, flip: bool
) -> list[torch.Tensor]:
    """Return the probabilities batch by batch, in smaller ones where the memory does not suffice."""
    normalise = Normalise(samples.mean, samples.std, place)
    rows: list[torch.Tensor] = []
    start, size = 0, batch_size
    with torch.inference_mode():
        while start < len(samples):
            # Copied only where it is a read-only map of a file.
            pixels = np.require(samples.images[start : start + size], requirements=["C", "W"])
            images = torch.from_numpy(pixels)
            try:
                batch = normalise(images.permute(0, 3, 1, 2), torch.channels_last)
                probabilities = logits_of(model, batch, len(samples.classes)).softmax(dim=1)
                if flip:
                    mirrored = logits_of(model, batch.flip(3), len(samples.classes)).softmax(dim=1)
                    probabilities = (probabilities + mirrored) / 2
                rows.append(probabilities.cpu())
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
                if size == 1:
                    raise TrainingError(
                        f"{place} ran out of memory with a single image; use smaller images"
                    ) from error
                size = max(1, min(size, len(samples)) // 2)
                continue
            start += size
    return rows


def logits_of(
    model: Callable[[torch.Tensor], object], batch: torch.Tensor, classes: int, *, who: str = "the network"
) -> torch.Tensor:
    """Return the network's (B, classes) float32 logits; an error calls it `who`.

    Raises:
        TrainingError: It returns something else.
    """
    output = model(batch)
    if not isinstance(output, torch.Tensor) or output.shape != (len(batch), classes):
        shown = (
            f"shape {tuple(output.shape[1:])}" if isinstance(output, torch.Tensor) else type(output).__name__
        )
        raise TrainingError(f"{who} answers with {shown} an image, but the data has {classes} classes")
    return output.float()


def _judge(probabilities: torch.Tensor, samples: Samples) -> Evaluation:
    labels = torch.from_numpy(np.array(samples.labels))
    classes = len(samples.classes)
    # Clamped at the smallest float: a probability that underflows is a large loss, not an infinite one.
    chosen = probabilities.gather(1, labels[:, None]).clamp_min(torch.finfo(torch.float32).tiny)
    # One number for each cell of the matrix: of 10 classes, class 2 taken for class 5 is 25.
    pairs = labels * classes + probabilities.argmax(dim=1)
    confusion = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).numpy()
    return Evaluation(
        accuracy=float(np.trace(confusion) / len(samples)),
        loss=float(-chosen.double().log().mean()),
        labels=labels.numpy(),
        probabilities=probabilities.numpy(),
        confusion=confusion,
    )
