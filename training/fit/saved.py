"""What a checkpoint of a run holds, checked before anything of it is used: type, shape, finiteness, range.

A file whose checksums are right may still hold what this version did not write: a field is missing, foreign,
NaN, or of another network. Each is one line that names the field; the run that reads it is not changed.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from records.run import EpochRecord
from training.fit.checkpoint import CheckpointError, previous
from training.fit.ema import kept_by_average
from training.fit.optim import build_optimizer
from training.fit.recipe import Recipe, RecipeError


class _WrongError(Exception):
    """A field is not what it must be; the text says which and why."""


@dataclass(frozen=True, eq=False)
class SavedPartial:
    """An epoch that was under way."""

    step: int
    """Steps done."""
    losses: torch.Tensor
    """(steps,) float32."""
    right: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Saved:
    """A run as its checkpoint has it; plain values and the tensors on the CPU."""

    path: Path
    identity: dict[str, Any]
    recipe: Recipe
    epochs: tuple[EpochRecord, ...]
    partial: SavedPartial | None
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    """"members": a list with "state" and "param_groups" each."""
    ema: dict[str, Any] | None
    """"steps" and "average"."""
    losses: torch.Tensor
    """(all steps of the finished epochs,) float32; empty in checkpoints of earlier versions."""

    @classmethod
    def checked(cls, state: Mapping[str, Any], path: Path) -> Saved:
        """Check what can be known without the network.

        Raises:
            CheckpointError: A field is missing, of another type, not finite or out of range.
        """
        try:
            recipe = _recipe(_field(state, "recipe", dict))
            epochs = _epochs(_field(state, "epochs", list), recipe)
            partial = state.get("partial")  # checkpoints of version 1 have none
            ema = _field(state, "ema", dict, type(None))
            if ema is not None:
                _number(_field(ema, "steps", int, where="ema.steps"), "ema.steps", low=0)
            return cls(
                path=path,
                identity=_plain(_field(state, "identity", dict), "identity"),
                recipe=recipe,
                epochs=epochs,
                partial=None if partial is None else _partial(partial, recipe),
                weights=_field(state, "state_dict", dict),
                optimizer=_field(state, "optimizer", dict),
                ema=ema,
                losses=_losses(state.get("losses", torch.zeros(0)), "losses"),
            )
        except _WrongError as error:
            raise _refused(path, error) from None

    def check_network(
        self, model: nn.Module, recipe: Recipe, steps: int, shares: Mapping[str, float] | None = None
    ) -> None:
        """Check everything whose size follows from the network and the images.

        Args:
            model: Network of the run that wants to go on, before it is restored.
            recipe: Recipe without "auto".
            steps: Number of steps in an epoch.
            shares: See `build_optimizer`.

        Raises:
            CheckpointError: A tensor is missing, foreign, of another shape or not finite, or an average is
                missing.
        """
        own = model.state_dict()
        try:
            _like(own, self.weights, "state_dict")
            if (self.ema is None) != (recipe.ema == 0):
                raise _WrongError(
                    f"'ema' is {'missing' if self.ema is None else 'there'}, against the recipe"
                )
            if self.ema is not None:
                average = _field(self.ema, "average", dict, where="ema.average")
                _like(kept_by_average(model), average, "ema.average")
            members = _field(self.optimizer, "members", list, where="optimizer.members")
            _optimizer(model, recipe, members, shares)
            if self.partial is not None and self.partial.losses.shape != (steps,):
                shape = tuple(self.partial.losses.shape)
                raise _WrongError(f"'partial.losses' has shape {shape}, not {(steps,)}")
        except _WrongError as error:
            raise _refused(self.path, error) from None


def _refused(path: Path, error: _WrongError) -> CheckpointError:
    before = previous(path)
    way = f"rename {before.name} to {path.name} to go on from the one before" if before.is_file() else ""
    return CheckpointError(
        f"{path} cannot be gone on from: {error}; {way or 'start anew under another name'}"
    )


def _field(values: Mapping[str, Any], key: str, *kinds: type, where: str = "") -> Any:
    if key not in values:
        raise _WrongError(f"{where or key!r} is missing")
    value = values[key]
    # bool is an int to Python, not to a reader of the file.
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in kinds)
        raise _WrongError(f"{where or key!r} must be {expected}, got {type(value).__name__}")
    return value


def _number(value: Any, where: str, low: float = -math.inf, high: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _WrongError(f"{where!r} must be a number, got {type(value).__name__}")
    try:
        found = float(value)
    except OverflowError:  # an integer of hundreds of digits
        found = math.inf
    if not (math.isfinite(found) and low <= found <= high):
        raise _WrongError(f"{where!r} is {found:.6g}, not a number from {low:g} to {high:g}")


def _plain(value: Any, where: str) -> Any:
    """Return `value` if it is plain: a tensor in it would answer a comparison with a tensor."""
    if isinstance(value, dict):
        for key, item in value.items():
            _plain(item, f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            _plain(item, where)
    elif not isinstance(value, (str, int, float, type(None))):
        raise _WrongError(f"{where!r} holds a {type(value).__name__}")
    return value


def _recipe(values: dict[str, Any]) -> Recipe:
    try:
        return Recipe.from_json(values)
    except (RecipeError, TypeError) as error:
        raise _WrongError(f"'recipe' is none: {error}") from error


def _epochs(values: list[Any], recipe: Recipe) -> tuple[EpochRecord, ...]:
    if len(values) > recipe.epochs:
        raise _WrongError(f"'epochs' has {len(values)} entries, but the recipe {recipe.epochs}")
    records = []
    names = [field.name for field in dataclasses.fields(EpochRecord)]
    for number, entry in enumerate(values, start=1):
        where = f"epochs[{number - 1}]"
        if not isinstance(entry, dict) or sorted(entry) != sorted(names):
            raise _WrongError(f"{where!r} must hold {', '.join(names)}")
        for name, value in entry.items():
            if value is None and name.startswith("val_"):
                continue
            high = 1.0 if name.endswith("accuracy") else math.inf
            _number(value, f"{where}.{name}", low=0.0, high=high)
        if entry["epoch"] != number:
            raise _WrongError(f"'{where}.epoch' is {entry['epoch']}, not {number}")
        records.append(EpochRecord(**entry))
    return tuple(records)


def _partial(values: Any, recipe: Recipe) -> SavedPartial:
    if not isinstance(values, dict):
        raise _WrongError(f"'partial' must be dict or nothing, got {type(values).__name__}")
    losses = _losses(_field(values, "losses", torch.Tensor, where="partial.losses"), "partial.losses")
    step = _field(values, "step", int, where="partial.step")
    _number(step, "partial.step", low=1, high=max(1, len(losses) - 1))
    right = _field(values, "right", int, where="partial.right")
    _number(right, "partial.right", low=0, high=step * recipe.batch_size)
    seconds = _field(values, "seconds", float, int, where="partial.seconds")
    _number(seconds, "partial.seconds", low=0)
    return SavedPartial(step, losses, right, seconds)


def _losses(value: Any, where: str) -> torch.Tensor:
    if (
        not isinstance(value, torch.Tensor)
        or value.ndim != 1
        or value.dtype != torch.float32
        or not bool(value.isfinite().all())
    ):
        raise _WrongError(f"{where!r} must be a list of finite float32 numbers")
    return value


def _like(own: Mapping[str, Any], found: Mapping[Any, Any], where: str) -> None:
    """Check that tensors have the names, shapes and types of `own`, and are finite where those are."""
    for name, value in own.items():
        if name not in found:
            raise _WrongError(f"'{where}.{name}' is missing")
        _tensor(value, found[name], f"{where}.{name}")
    for name in found:
        if name not in own:
            raise _WrongError(f"'{where}.{name}' is not of this network")


def _tensor(own: torch.Tensor, found: Any, where: str) -> None:
    if not isinstance(found, torch.Tensor):
        raise _WrongError(f"{where!r} must be a tensor, got {type(found).__name__}")
    if found.shape != own.shape or found.dtype != own.dtype:
        raise _WrongError(
            f"{where!r} is {found.dtype} of shape {tuple(found.shape)}, not {own.dtype} of {tuple(own.shape)}"
        )
    # A mask of -inf is one in the network itself.
    if bool(own.isfinite().all()) and not bool(found.isfinite().all()):
        raise _WrongError(f"{where!r} holds NaN or infinity")


def _optimizer(
    model: nn.Module, recipe: Recipe, members: list[Any], shares: Mapping[str, float] | None
) -> None:
    """Compare an optimiser's state with that of a fresh one after a step on zero gradients.

    Which tensors an optimiser keeps is its own affair, and differs between releases of torch: the comparison
    needs no list of their names. A parameter that has had no gradient yet has no state.
    """
    trial = copy.deepcopy(model)
    for parameter in trial.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    fresh = build_optimizer(trial, recipe, shares)
    fresh.step(0.0)
    own = fresh.state_dict()["members"]
    if len(members) != len(own):
        raise _WrongError(f"'optimizer.members' has {len(members)} entries, not {len(own)}")
    for number, (expected, found) in enumerate(zip(own, members, strict=True)):
        where = f"optimizer.members[{number}]"
        if not isinstance(found, dict):
            raise _WrongError(f"{where!r} must be dict, got {type(found).__name__}")
        groups = _field(found, "param_groups", list, where=f"{where}.param_groups")
        held = [group.get("params") if isinstance(group, dict) else None for group in groups]
        if held != [group["params"] for group in expected["param_groups"]]:
            raise _WrongError(f"'{where}.param_groups' divides the parameters otherwise")
        for key, values in _field(found, "state", dict, where=f"{where}.state").items():
            if key not in expected["state"] or not isinstance(values, dict):
                raise _WrongError(f"'{where}.state.{key}' is of no parameter")
            if values:
                _like(expected["state"][key], values, f"{where}.state.{key}")
