"""`--set KEY=VALUE`: values of a recipe's fields, read by their types."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from records.text import unknown
from training.errors import TrainingError
from training.fit.recipe import Recipe

SHORT = {"lr": "learning_rate", "wd": "weight_decay"}
"""Customary short names of fields."""
_KINDS = {name: kind for name, kind in typing.get_type_hints(Recipe).items() if name != "name"}
_WORDS = {int: "a whole number", float: "a number"}


def changes_of(texts: Sequence[str]) -> dict[str, Any]:
    """Read "lr=0.1", "optimizer=adamw": a value for each field that is named.

    Raises:
        TrainingError: A text is not of this form, names no field or one twice, or its value has another type.
    """
    found: dict[str, Any] = {}
    for text in texts:
        word, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value:
            raise TrainingError(f"--set {text}: write KEY=VALUE, such as --set lr=0.1")
        key = SHORT.get(word, word)
        if key not in _KINDS:
            raise TrainingError(f"--set {text}: {word} is {unknown(word, (*SHORT, *_KINDS))}")
        if key in found:
            raise TrainingError(f"--set {text}: {key} is set twice; set it once")
        found[key] = _value(text, value, _KINDS[key])
    return found


def changed(recipe: Recipe, texts: Sequence[str]) -> Recipe:
    """Return the recipe with the values of `--set`.

    Raises:
        TrainingError: As `changes_of`, or a value breaks its rule.
    """
    changes = changes_of(texts)
    try:
        return dataclasses.replace(recipe, **changes)
    except TrainingError as error:
        raise TrainingError(f"--set: {error}") from error


def _value(text: str, value: str, kind: type) -> Any:
    try:
        return kind(value)
    except ValueError:  # also of more digits than Python reads
        raise TrainingError(f"--set {text:.60}: {_WORDS[kind]} is needed, got {value[:40]!r}") from None
