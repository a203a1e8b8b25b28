"""`--from run.json`: a run again from its record, and what is not as it was."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from records.layout import RUN, network_folder
from records.run import Environment, RunRecord
from training.command.images import origin
from training.command.options import Options, word
from training.errors import TrainingError
from training.fit.recipe import SETTLED, Recipe


def read_run(path: Path) -> RunRecord:
    """Read the record of a run.

    Args:
        path: Its run.json, or the folder that holds it; of a search's folder, its winner's.

    Raises:
        RecordError: There is none, or it is damaged.
    """
    path = network_folder(path)
    return RunRecord.read(path / RUN if path.is_dir() else path)


def as_before(options: Options, given: Collection[str], before: RunRecord) -> Options:
    """Return the options of a run that repeats `before`: its data, split, seed and determinism.

    The recipe and the network come from the record itself: the files that were named then may have changed.

    Args:
        options: As they were typed.
        given: Names of those that were typed; they hold.
        before: The run that is to be repeated.

    Raises:
        TrainingError: The record does not know its settings.
    """
    if before.transfer is not None:
        raise TrainingError(
            f"--from: run {before.name!r} began with pretrained weights; repeat it with its own command: "
            f"{before.command}"
        )
    if before.settings is None:
        raise TrainingError(
            f"--from: run {before.name!r} does not know its settings: field 'command' of its run.json is no "
            "command line"
        )
    images = origin(before)
    return replace(
        options,
        data=options.data if "data" in given else images.data,
        cache=options.cache if "cache" in given else images.cache,
        resize=options.resize if "resize" in given else images.resize,
        skip_unreadable=options.skip_unreadable or images.skip_unreadable,
        full=not before.dataset.validation_images,
        subset=before.dataset.train_images,  # as many as there are means all
        seed=options.seed if "seed" in given else before.seed,
        teacher=before.teacher.path if before.teacher else None,
        arguments=before.settings.arguments,
        changes=before.settings.changes,
        deterministic=options.deterministic or before.settings.deterministic,
    )


def as_words(options: Options, given: Collection[str], words: Sequence[str]) -> list[str]:
    """Return the flags of a repetition with those that it took over, as a person would type them all."""
    taken = [
        each
        for name in ("data", "cache", "resize")
        if name not in given and (value := getattr(options, name)) is not None
        for each in (word(name), str(value))
    ]
    for name in ("skip_unreadable", "deterministic"):
        if getattr(options, name) and name not in given:
            taken.append(word(name))
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
