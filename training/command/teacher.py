"""`--teacher`: a trained network that another one learns from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from records.run import TeacherFacts
from training.command.trained import finished_network
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit.checkpoint import CheckpointError
from training.fit.weights import NoSpecError, as_teacher, fingerprint, load_network

WEIGHT = 0.9
"""Share of the teacher in the loss where the recipe has none: Hinton et al. (2015), section 2, found the best
results with a considerably lower weight on the labels."""


def open_teacher(path: Path, samples: Samples) -> tuple[nn.Module, TeacherFacts]:
    """Load a teacher for a network that learns from `samples`.

    Args:
        path: The folder of a run or of a search, or weights; they must have a spec.
        samples: What the student sees.

    Raises:
        TrainingError: It cannot be loaded, or knows other classes or images of another size.
    """
    try:
        network, metadata = load_network(finished_network(path))
        teacher = as_teacher(network, metadata, classes=samples.classes, mean=samples.mean, std=samples.std)
        size = tuple(metadata.get("input_size", ())[1:])
    except NoSpecError as error:
        raise TrainingError(
            f"--teacher {path}: has no spec, as networks from --model and published ones; a teacher needs one"
        ) from error
    except CheckpointError as error:
        raise TrainingError(f"--teacher {path}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise TrainingError(
            f"--teacher {path}: its metadata is not that of a training ({error!r})"
        ) from error
    if size and size != samples.image_size:
        (height, width), (own_height, own_width) = samples.image_size, size
        raise TrainingError(
            f"--teacher {path}: was trained on images of {own_height}x{own_width}, the data has "
            f"{height}x{width}"
        )
    return teacher, TeacherFacts(str(path), str(metadata.get("network", "?")), fingerprint(network))
