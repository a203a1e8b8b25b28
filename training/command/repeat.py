"""`--from run.json`: a run again, by what its record says of it, and what is not as it was."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from records.flags import LARGEST_SEED
from records.run import Environment, RunRecord
from training.command.images import origin, words_of
from training.errors import TrainingError
from training.fit.recipe import SETTLED, Recipe
from training.fit.runfolder import RUN


def read_run(path: Path) -> RunRecord:
    """Read the record of a run.

    Args:
        path: Its run.json, or the folder that holds it.

    Raises:
        RecordError: There is none, or it is damaged.
    """
    return RunRecord.read(path / RUN if path.is_dir() else path)


def as_before(options: argparse.Namespace, before: RunRecord) -> argparse.Namespace:
    """Return the flags of a run that repeats `before`: its data, split, seed and determinism.

    The recipe and the network come from the record itself: the files that were named then may have changed.
    """
    images = origin(before)
    again = argparse.Namespace(**vars(options))
    again.data = options.data or images.data
    again.cache = options.cache or images.cache
    again.resize = options.resize or images.resize
    again.full = not before.dataset.validation_images
    again.subset = before.dataset.train_images  # as many as there are means all
    again.seed = before.seed if options.seed is None else options.seed
    if not 0 <= again.seed <= LARGEST_SEED:
        raise TrainingError(f"--from: run {before.name!r} has the seed {again.seed}, which is none")
    again.teacher = Path(before.teacher.path) if before.teacher else None
    again.deterministic = options.deterministic or "--deterministic" in words_of(before)
    return again


def again_in_words(words: Sequence[str], typed: argparse.Namespace, again: argparse.Namespace) -> list[str]:
    """Return the flags of a repetition with those that it took over, so that it can be repeated in turn.

    Args:
        words: As they were typed.
        typed: The same, parsed.
        again: What `as_before` made of it.
    """
    taken = [
        each
        for key in ("data", "cache", "resize")
        if getattr(typed, key) is None and (value := getattr(again, key)) is not None
        for each in (f"--{key}", str(value))
    ]
    if again.deterministic and not typed.deterministic:
        taken.append("--deterministic")
    return [*words, *taken]


def recipe_again(before: RunRecord, device: str) -> Recipe:
    """Return the recipe of a run; what it settled for its device is settled anew on another one."""
    same = before.environment.device == device
    return Recipe.from_json(before.recipe | ({} if same else dict.fromkeys(SETTLED, "auto")))


def check_images(before: RunRecord, now: RunRecord, named: bool) -> None:
    """Refuse to call a run on other images a repetition, unless the user has `named` them.

    Raises:
        TrainingError: The images are not those of the run.
    """
    if not named and before.dataset.fingerprint != now.dataset.fingerprint:
        raise TrainingError(
            f"--from: the run was trained on {before.dataset.title} ({before.dataset.fingerprint}), but what "
            f"is there now is {now.dataset.title} ({now.dataset.fingerprint}); name the images with --data"
        )


def differences(before: RunRecord, now: RunRecord) -> tuple[str, ...]:
    """Return what may keep the repetition from the same result, a line each."""
    found = []
    if before.dataset.fingerprint != now.dataset.fingerprint:
        found.append(f"images: {now.dataset.title}, then {before.dataset.title}")
    if (before.dataset.train_images, before.dataset.validation_images) != (
        now.dataset.train_images,
        now.dataset.validation_images,
    ):
        found.append(f"training images: {now.dataset.train_images:,}, then {before.dataset.train_images:,}")
    if before.seed != now.seed:
        found.append(f"seed: {now.seed}, then {before.seed}")
    if (before.params, before.macs) != (now.params, now.macs):
        here, then = (f"{each.params:,} parameters and {each.macs:,} MACs" for each in (now, before))
        found.append(f"network: {here}, then {then}")
    if before.teacher and now.teacher and before.teacher.fingerprint != now.teacher.fingerprint:
        found.append(f"teacher: {now.teacher.path} holds other weights than then")
    return (*found, *_places(before.environment, now.environment))


def _places(before: Environment, now: Environment) -> list[str]:
    found = []
    for package in sorted({*before.versions, *now.versions}):
        then, here = before.versions.get(package, "none"), now.versions.get(package, "none")
        if then != here:
            found.append(f"{package}: {here}, then {then}")
    if before.git_commit != now.git_commit or before.git_dirty or now.git_dirty:
        found.append(f"code: {_commit(now)}, then {_commit(before)}")
    for what in ("device", "hardware", "threads"):
        then, here = getattr(before, what), getattr(now, what)
        if then != here:
            found.append(f"{what}: {here}, then {then}")
    return found


def _commit(place: Environment) -> str:
    if place.git_commit is None:
        return "no commit known"
    return f"commit {place.git_commit[:9]}{' with changes' if place.git_dirty else ''}"
