"""Recipe: everything that defines how a network is trained, JSON both ways, and the named recipes."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any

from training.errors import TrainingError

OPTIMIZERS = ("sgd", "adamw", "muon")
SCHEDULES = ("one-cycle", "cosine", "step")
POLICIES = ("none", "light", "cutout", "mild", "assignment", "strong", "crop", "jitter")
PRECISIONS = ("auto", "float32", "bfloat16")
LAYOUTS = ("auto", "channels_last", "contiguous")
AUGMENTS = ("auto", "cpu", "gpu")
COMPILES = ("auto", "off", "on", "graphs")
BALANCES = ("none", "loss", "sample")
SETTLED = ("precision", "layout", "augment", "compile")
"""Keys whose "auto" is replaced by what is chosen when a run begins."""


class RecipeError(TrainingError, ValueError):
    """A value in a recipe that cannot be; the text names the key, the value and the rule."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; what to train, on what, and with which seed stand elsewhere.

    What depends on the length of the run (warm-up, EMA, the ramp of mixup) is given as a share of it, so that
    `dataclasses.replace(recipe, epochs=4)` is a good recipe still.

    Raises:
        RecipeError: A value breaks its rule.
    """

    name: str
    epochs: int
    """Passes over the training images."""
    batch_size: int
    """Images a step; the last, smaller batch of an epoch is left out (another shuffle comes)."""
    optimizer: str = "sgd"
    """"sgd" (Nesterov), "adamw", or "muon" for dense kernels with SGD for all else."""
    learning_rate: float
    """The highest learning rate of the schedule."""
    vector_rate: float = 0.1
    """Beside "muon": the highest rate of SGD for depthwise kernels, norms and biases."""
    weight_decay: float = 0.0
    """On kernels and matrices alone, never on norms and biases."""
    momentum: float = 0.9
    """Momentum of SGD and Muon; the first beta of AdamW."""
    schedule: str = "one-cycle"
    """Down to zero by the last step: "one-cycle" in a straight line, "cosine" along half a cosine; or "step":
    times `step_factor` after each share `step_every` of the run."""
    step_every: float = 0.3
    """Beside "step": share of all steps after which the rate falls (0.3 of 50 epochs: every 15)."""
    step_factor: float = 0.1
    """Beside "step": factor by which it falls."""
    warmup: float = 0.2
    """Share of all steps in which the learning rate climbs, from a twenty-fifth, in a straight line."""
    label_smoothing: float = 0.0
    ema: float = 0.0
    """Horizon of the exponential moving average of the weights, as a share of all steps; 0: no average."""
    small_share: float = 0.0
    """Share of the epochs, the first ones, that see smaller images (progressive resizing); 0: none."""
    small_scale: float = 0.625
    """Height and width of those images as a share of the full ones: 0.625 makes 20 pixels of 32."""
    policy: str = "mild"
    """Augmentation by name, see `training.batches.draws`."""
    mixup: float = 0.0
    """Largest share of the second image at the end of the ramp (Tiniest's form); 0: none."""
    cutmix: float = 0.0
    """Largest area of a patch of the second image at the end of the ramp; beside `mixup`, half of the batches
    each; 0: none."""
    distill_weight: float = 0.0
    """Share of the teacher's answers in the loss, beside that of the labels; 0: no teacher."""
    distill_temperature: float = 4.0
    """By which both networks' logits are divided before they are compared."""
    balance: str = "none"
    """For classes of unequal size: "loss" weighs each class alike in the loss, "sample" draws the images of
    each class equally often (`training.data.balance`)."""
    clip: float = 0.0
    """Largest norm of the gradient; 0: as it comes."""
    precision: str = "auto"
    """"float32", "bfloat16" (autocast), or "auto": what trains this network faster on this device."""
    layout: str = "auto"
    """Order of images and kernels in memory: "channels_last", "contiguous", or "auto" likewise."""
    augment: str = "auto"
    """Where images are augmented: "cpu" (albumentations and OpenCV, on the processor), "gpu" (batched, in
    torch, on the training device, which then holds the data set), or "auto": "gpu" on CUDA where the data
    fits."""
    compile: str = "auto"
    """"off", "on" (torch.compile), "graphs" (CUDA graphs), or "auto": off, until one is measured to pay."""

    def __post_init__(self) -> None:
        for key, (holds, rule) in _RULES.items():
            value = getattr(self, key)
            if not _is(_KINDS[key], value) or not holds(value):
                raise RecipeError(f"recipe {self.name!r}: `{rule}` must hold, but got {key}={value!r}")

    def to_json(self) -> dict[str, Any]:
        """Return plain strings and numbers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Recipe:
        """Build the recipe from parsed JSON.

        Raises:
            RecipeError: Not an object, an unknown or a missing key, or a value that breaks its rule.
        """
        if not isinstance(value, dict):
            raise RecipeError(f"a recipe must be a JSON object, got {type(value).__name__}")
        where = f"recipe {value.get('name', '?')!r}"
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for key in value:
            if key not in fields:
                raise RecipeError(f"{where}: unknown key {key!r}; known are {', '.join(fields)}")
        for key, field in fields.items():
            if key not in value and field.default is dataclasses.MISSING:
                raise RecipeError(f"{where}: the key {key!r} is missing")
        return cls(**value)


def _is(kind: type, value: Any) -> bool:
    # bool is an int to Python, not to a reader of the recipe; an int is a fine float.
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _one_of(key: str, allowed: tuple[str, ...]) -> tuple[typing.Callable[[Any], bool], str]:
    return (lambda value: value in allowed), f"{key} in {{{', '.join(allowed)}}}"


# NaN fails every comparison, so each rule is written as one that must hold.
_RULES: dict[str, tuple[typing.Callable[[Any], bool], str]] = {
    "name": (lambda value: value != "", 'name != ""'),
    "epochs": (lambda value: 1 <= value <= 100_000, "1 <= epochs <= 100000"),
    "batch_size": (lambda value: 2 <= value <= 1_000_000, "2 <= batch_size <= 1000000"),
    "optimizer": _one_of("optimizer", OPTIMIZERS),
    "learning_rate": (lambda value: 0 < value <= 1000, "0 < learning_rate <= 1000"),
    "vector_rate": (lambda value: 0 < value <= 1000, "0 < vector_rate <= 1000"),
    "weight_decay": (lambda value: 0 <= value < 1, "0 <= weight_decay < 1"),
    "momentum": (lambda value: 0 <= value < 1, "0 <= momentum < 1"),
    "schedule": _one_of("schedule", SCHEDULES),
    "step_every": (lambda value: 0 < value <= 1, "0 < step_every <= 1 (a share of the run)"),
    "step_factor": (lambda value: 0 < value <= 1, "0 < step_factor <= 1"),
    "warmup": (lambda value: 0 <= value < 1, "0 <= warmup < 1 (a share of the run)"),
    "label_smoothing": (lambda value: 0 <= value < 1, "0 <= label_smoothing < 1"),
    "ema": (lambda value: 0 <= value < 1, "0 <= ema < 1 (a share of the run)"),
    "small_share": (lambda value: 0 <= value <= 1, "0 <= small_share <= 1 (a share of the epochs)"),
    "small_scale": (lambda value: 0.1 <= value <= 1, "0.1 <= small_scale <= 1"),
    "policy": _one_of("policy", POLICIES),
    "mixup": (lambda value: 0 <= value <= 0.5, "0 <= mixup <= 0.5"),
    "cutmix": (lambda value: 0 <= value <= 0.5, "0 <= cutmix <= 0.5"),
    "distill_weight": (lambda value: 0 <= value <= 1, "0 <= distill_weight <= 1"),
    "distill_temperature": (lambda value: 0 < value <= 100, "0 < distill_temperature <= 100"),
    "balance": _one_of("balance", BALANCES),
    "clip": (lambda value: 0 <= value <= 1e6, "0 <= clip <= 1e6"),
    "precision": _one_of("precision", PRECISIONS),
    "layout": _one_of("layout", LAYOUTS),
    "augment": _one_of("augment", AUGMENTS),
    "compile": _one_of("compile", COMPILES),
}
_KINDS: dict[str, type] = typing.get_type_hints(Recipe)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        # Muon is ahead of SGD in every short run that was tried: docs/training.md has the table.
        Recipe(
            name="fast",
            epochs=30,
            batch_size=64,
            optimizer="muon",
            learning_rate=0.1,
            vector_rate=0.1,
            weight_decay=0.001,
            momentum=0.95,
            label_smoothing=0.05,
            ema=0.02,
            policy="light",
        ),
        Recipe(
            name="standard",
            epochs=100,
            batch_size=64,
            optimizer="muon",
            learning_rate=0.1,
            vector_rate=0.1,
            weight_decay=0.001,
            momentum=0.95,
            warmup=0.1,
            label_smoothing=0.05,
            ema=0.02,
            policy="cutout",
        ),
        # After Tiniest (section A2 of the literature): AdamW, high rate, long cosine, mixup on a ramp.
        Recipe(
            name="record",
            epochs=200,
            batch_size=256,
            optimizer="adamw",
            learning_rate=0.01,
            weight_decay=0.02,
            schedule="cosine",
            warmup=0.02,
            ema=0.02,
            mixup=0.5,
        ),
        # A head on a pretrained backbone: docs/cats-and-dogs.md. The rate was chosen by cross-fitting.
        Recipe(
            name="transfer",
            epochs=20,
            batch_size=64,
            optimizer="adamw",
            learning_rate=0.003,
            weight_decay=0.01,
            schedule="cosine",
            warmup=0.15,
            policy="none",
        ),
        # The published networks of models/reference: transforms, epochs, SGD and StepLR are their documents',
        # rates and batches, which they do not give, are chosen here.
        Recipe(
            name="published-transpose",
            epochs=113,
            batch_size=128,
            learning_rate=0.05,
            weight_decay=0.0005,
            policy="assignment",
        ),
        Recipe(
            name="published-dilated",
            epochs=50,
            batch_size=128,
            learning_rate=0.05,
            weight_decay=0.0005,
            schedule="step",
            warmup=0.0,
            policy="jitter",
        ),
    )
}

ON_CUDA: dict[str, dict[str, Any]] = {
    # A step of 512 images takes one and a half times as long as one of 128 there (docs/results/training.md);
    # fewer steps want higher rates and more epochs, and then larger holes.
    "fast": {
        "epochs": 40,
        "batch_size": 512,
        "learning_rate": 0.2,
        "vector_rate": 0.4,
        "weight_decay": 0.003,
        "policy": "cutout",
    },
    "standard": {
        "epochs": 150,
        "batch_size": 512,
        "learning_rate": 0.2,
        "vector_rate": 0.4,
        "weight_decay": 0.003,
    },
    "record": {"batch_size": 512, "learning_rate": 0.014},
}
"""What a named recipe has otherwise on CUDA; not measured yet."""


def named(name: str, device: str) -> Recipe:
    """Return a named recipe in its form for a type of device, "cuda" or another."""
    recipe = RECIPES[name]
    return dataclasses.replace(recipe, **ON_CUDA.get(name, {})) if device == "cuda" else recipe
