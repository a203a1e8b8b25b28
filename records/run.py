"""RunRecord: everything that `run.json` says of one training run."""

from dataclasses import dataclass, field
from typing import Any

from records.codec import Record


@dataclass(frozen=True)
class DatasetFacts:
    """Which images a run saw."""

    name: str
    """Short name: "cifar10", the archive's or folder's stem, "shapes"."""
    kind: str
    """"cifar10", "archive", "folder" or "shapes"."""
    title: str
    """What pages and tables print, for example "shapes (drawn, NOT CIFAR-10)"."""
    fingerprint: str
    """Content key of the decoded images."""
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    """Height and width in pixels."""
    train_images: int
    """Images that training drew from (after the validation split and any subset)."""
    validation_images: int
    """Images that choices were made on; 0 when train and validation were joined."""
    test_images: int
    """Images in the whole test set."""
    mean: tuple[float, float, float]
    """Per channel of the train images, 0-255."""
    std: tuple[float, float, float]
    notice: str | None = None
    """A loud remark, for example that CIFAR-10 could not be had and `shapes` stands in for it."""


@dataclass(frozen=True)
class Environment:
    """Where a run took place."""

    device: str
    """"cpu", "cuda" or "mps"."""
    hardware: str
    """Processor or GPU by its own name, with the number of cores."""
    threads: int
    """Threads of torch's own kernels."""
    versions: dict[str, str]
    """Package name to version."""
    git_commit: str | None
    """Commit of the checkout, None outside one."""
    git_dirty: bool | None
    """True when tracked files differed from that commit."""


@dataclass(frozen=True)
class TeacherFacts:
    """The trained network that a run learned from."""

    path: str
    """As it was named."""
    network: str
    fingerprint: int
    """Checksum of its weights."""


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the training images."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    train_accuracy: float
    """On augmented images, while the weights moved; 0-1."""
    val_loss: float | None
    val_accuracy: float | None
    """EMA weights on the validation images, no test-time augmentation; 0-1; None without validation."""
    learning_rate: float
    """At the epoch's last step."""
    seconds: float


@dataclass(frozen=True)
class RunRecord(Record):
    """One training run, as `run.json` holds it."""

    name: str
    network: str
    """Name of the spec, or the target that was loaded."""
    recipe: dict[str, Any]
    seed: int
    dataset: DatasetFacts
    environment: Environment
    params: int
    """Every unique parameter, as `rfcalc` counts them."""
    macs: int
    """Multiply-accumulates of convolution and linear layers, per image."""
    receptive_field: tuple[int, int]
    """Height and width in input pixels, before global pooling."""
    seconds: float
    """Wall time of training and evaluation, without decoding the data set."""
    started: str
    """ISO 8601, UTC."""
    spec: dict[str, Any] | None = None
    """The NetSpec; None for a network that has none."""
    target: str | None = None
    """What was loaded where there is no spec: "model.py:Name"."""
    source: str | None = None
    """The text of that file."""
    teacher: TeacherFacts | None = None
    command: str | None = None
    val_accuracy: float | None = None
    """Of the final weights; 0-1."""
    test_accuracy: float | None = None
    """0-1; None unless the run was asked to meet the test set."""
    test_loss: float | None = None
    test_accuracy_flip: float | None = None
    """With flip test-time augmentation, always apart."""
    per_class: dict[str, float] | None = None
    """Accuracy of each class on the images that the last accuracy above was measured on."""
    confusion: tuple[tuple[int, ...], ...] | None = None
    """Counts, rows are true classes."""
    epochs: tuple[EpochRecord, ...] = field(default=())
    finished: bool = True
    """False while the run goes on or when it broke off."""
