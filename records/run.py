"""RunRecord: everything that `run.json` holds about one training run."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from records.codec import Count, Record, Seconds, Share
from records.command_line import settings_of_command
from records.settings import Positive, RunSettings, Seed


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
    image_size: tuple[Positive, Positive]
    """Height and width in pixels."""
    train_images: Count
    """Images that training drew from (after the validation split and any subset)."""
    validation_images: Count
    """Images that choices were made on; 0 when train and validation were joined."""
    test_images: Count
    """Images in the whole test set."""
    mean: tuple[float, float, float]
    """Per channel of the train images, 0-255."""
    std: tuple[float, float, float]
    notice: str | None = None
    """A remark for every page, for example that CIFAR-10 could not be had and `shapes` takes its place."""
    train_by_class: tuple[Count, ...] = ()
    """How many of `train_images` are of each class; empty where it is not known, as of older runs."""
    unreadable: tuple[str, ...] = ()
    """Images of the source that were left out because they cannot be read, each with the reason."""


@dataclass(frozen=True)
class Environment:
    """Where a run took place."""

    device: str
    """"cpu", "cuda" or "mps"."""
    hardware: str
    """Processor or GPU by its own name, with the number of cores."""
    threads: Count
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
class TransferFacts:
    """The pretrained weights that a run began with, and what became of the confidence of its answers."""

    architecture: dict[str, Any]
    """Backbone, head, classes and preprocessing, as `best.safetensors` names them too."""
    source: str
    """Source of the weights: "torchvision:resnet50:IMAGENET1K_V1"."""
    sha256: str
    """Of the weights, tensor by tensor."""
    frozen_stages: Count
    """How many stages of the backbone stayed as they were."""
    stages: Count
    """How many stages the backbone has."""
    temperature: float = 1.0
    """Divides the logits; fitted on training photographs that the classifier had not learned from."""
    calibration_error: Share | None = None
    """Expected calibration error on the last images that were judged, without the temperature; 0-1."""
    calibration_error_after: Share | None = None
    """The same with the temperature."""
    interval: tuple[Share, Share] | None = None
    """95 % interval of the accuracy of those images (Wilson)."""
    balanced_accuracy: Share | None = None
    """Mean of the accuracies of the classes."""


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the training images."""

    epoch: Count
    """Counted from 1."""
    train_loss: float
    train_accuracy: Share
    """On augmented images, while the weights moved; 0-1."""
    val_loss: float | None
    val_accuracy: Share | None
    """EMA weights on the validation images, no test-time augmentation; 0-1; None without validation."""
    learning_rate: float
    """At the epoch's last step."""
    seconds: Seconds


@dataclass(frozen=True)
class RunRecord(Record):
    """One training run, as `run.json` holds it."""

    SCHEMA: ClassVar[int] = 2
    OLDER: ClassVar[tuple[int, ...]] = (1,)

    name: str
    network: str
    """Name of the spec, or the target that was loaded."""
    recipe: dict[str, Any]
    seed: Seed
    dataset: DatasetFacts
    environment: Environment
    params: Count
    """Every unique parameter, as `rfcalc` counts them."""
    macs: Count
    """Multiply-accumulates of convolution and linear layers, per image."""
    receptive_field: tuple[Count, Count]
    """Height and width in input pixels, before global pooling."""
    seconds: Seconds
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
    transfer: TransferFacts | None = None
    command: str | None = None
    """What a person would type to train it again."""
    settings: RunSettings | None = None
    """What the run was asked for, with what a repetition took over; None where it is not known."""
    val_accuracy: Share | None = None
    """Of the final weights; 0-1."""
    test_accuracy: Share | None = None
    """0-1; None unless the run was asked to meet the test set."""
    test_loss: float | None = None
    test_accuracy_flip: Share | None = None
    """With flip test-time augmentation, always apart."""
    per_class: dict[str, Share] | None = None
    """Accuracy of each class on the images that the last accuracy above was measured on."""
    confusion: tuple[tuple[Count, ...], ...] | None = None
    """Counts, rows are true classes."""
    epochs: tuple[EpochRecord, ...] = field(default=())
    finished: bool = True
    """False while the run is going on, and after it broke off."""

    @classmethod
    def upgraded(cls, schema: int, value: dict[str, Any]) -> dict[str, Any]:
        """Read the settings out of the command line, which is all that schema 1 keeps of them."""
        command = value.get("command")
        found = settings_of_command(command) if isinstance(command, str) else None
        settings = None if found is None else asdict(RunSettings()) | found
        return {**value, "settings": settings}
