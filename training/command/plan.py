"""A run before it starts: everything that can be wrong is found here, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import nn

import rfcalc
from models.spec import NetSpec
from records.environment import describe
from records.run import RunRecord
from records.settings import settings_of
from records.text import unknown
from rfcalc import Target, Verdict, find_budget
from rfcalc.command.options import parse_arguments
from training.command.files import read_json
from training.command.network import (
    Network,
    built,
    chosen,
    loaded,
    loaded_again,
    refuse_another_file,
)
from training.command.options import Options
from training.command.pretrained import RECIPE as TRANSFER_RECIPE
from training.command.pretrained import Transfer, asked_for, is_cached
from training.command.repeat import check_images, recipe_again
from training.command.teacher import WEIGHT, open_teacher
from training.data import registry as datasets
from training.data.balance import counts_of
from training.data.registry import Dataset
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit import device
from training.fit.changes import changed, changes_of
from training.fit.evaluate import evaluate
from training.fit.recipe import RECIPES, Recipe, RecipeError, named
from training.fit.runfolder import dataset_facts
from training.transfer.stages import Stage, shares_of

_CHANGES = ("epochs", "policy", "balance", "augment", "compile")
"""Keys of a recipe that have a flag of their own."""
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    """A run that can start."""

    model: nn.Module
    recipe: Recipe
    train: Samples
    validation: Samples | None
    """What each epoch is judged on; None with --full."""
    judged_on: Samples
    """What the final weights are judged on: the validation images; the test images with --full, and of a
    network with pretrained weights."""
    record: RunRecord
    """All but what training brings."""
    verdict: Verdict | None
    budget: str
    """The file that the budget comes from."""
    options: Options
    """With the settings of a repeated run filled in."""
    repeats: RunRecord | None = None
    """The run that is done again."""
    teacher: nn.Module | None = None
    notice: str | None = None
    """What the user should know of the network."""
    transfer: Transfer | None = None
    """The pretrained weights, where the network has them."""
    stages: tuple[Stage, ...] = ()
    """Of a network with pretrained weights."""
    cached: bool = False
    """Whether the maps of its frozen stages are computed once, and only what follows them is trained."""
    shares: Mapping[str, float] | None = None
    """Learning rates of its parameters as multiples of the recipe's, by name."""
    dataset: Dataset | None = None
    """Of a network with pretrained weights."""


@dataclass(frozen=True)
class Wanted:
    """What is to be trained, as far as that is known before any image is read."""

    options: Options
    given: Collection[str]
    """Names of the options that the user typed, now or when the run was started."""
    repeats: RunRecord | None = None
    """The run that is to be done again."""
    resumes: RunRecord | None = None
    """The run that is to be continued."""


def make_plan(wanted: Wanted, console: Console) -> Plan:
    """Check everything that can be wrong before anything is trained or written.

    Args:
        wanted: The options, and the run that they continue or repeat.
        console: Where the reading of images is shown.

    Raises:
        TrainingError: Data, network, recipe and device do not fit together.
        SpecError: The spec is wrong.
        RfcalcError: The target cannot be loaded or analysed.
    """
    options, repeats = wanted.options, wanted.repeats
    place = device.resolve(options.device)
    transfer = asked_for(options, wanted.given)
    if transfer is not None and wanted.resumes is None and "recipe" not in wanted.given:
        options = replace(options, recipe=TRANSFER_RECIPE)
    recipe = recipe_again(repeats, place.type) if repeats is not None else recipe_of(options, place.type)
    cached = transfer is not None and is_cached(transfer, recipe, options)
    # What is wrong with the flags is found before images are loaded: a wrong name of a file must not cost a
    # download of 170 MB.
    torch.manual_seed(options.seed)
    network = None if transfer is not None else _spec_or_network(wanted, place.type)
    dataset = datasets.load(
        options.data,
        cache=Path(options.cache),
        resize=options.resize,
        squared=None if transfer is None else transfer.architecture.preprocessing,
        skip_unreadable=options.skip_unreadable,
        console=console,
    )
    if transfer is not None:
        normal = transfer.architecture.preprocessing
        dataset = replace(dataset, mean=normal.mean, std=normal.std)
    labels = dataset.train.labels
    train, held_out = np.arange(len(labels)), np.arange(0)
    if not options.full:
        train, held_out = datasets.holdout(labels)
    if options.subset is not None:
        train = datasets.subset(train, labels, options.subset, options.seed)
    # Photographs are 150 kB each and may be 25,000: they stay on the disk until each one's turn comes.
    take = Samples.of if transfer is None else Samples.mapped
    validation = None if options.full else take(dataset.train, held_out, dataset)
    judged_on = validation
    if transfer is not None or judged_on is None:
        judged_on = take(dataset.test, None, dataset)

    height, width = dataset.image_size
    size, classes = (3, height, width), len(dataset.classes)
    if isinstance(network, NetSpec):
        torch.manual_seed(options.seed)
        network = built(network, size, classes)
    stages: tuple[Stage, ...] = ()
    facts = None
    if transfer is not None:
        model, stages, architecture = transfer.build(classes, options.seed)
        network, facts = Network(model, architecture.name), transfer.facts(architecture)
    assert network is not None
    analysis = rfcalc.analyze(network.model, input_size=size)
    found = find_budget(Target.parse(options.model).folder if options.model else _REPOSITORY)
    # A pass of two images shows whether the answers fit the classes.
    evaluate(network.model, replace(judged_on, images=judged_on.images[:2], labels=judged_on.labels[:2]))
    samples = take(dataset.train, train, dataset)
    teacher, taught = open_teacher(Path(options.teacher), samples) if options.teacher else (None, None)
    record = RunRecord(
        name="",
        network=network.name,
        recipe=recipe.to_json(),
        seed=options.seed,
        dataset=dataset_facts(dataset, len(train), len(held_out), counts_of(labels[train], classes)),
        environment=describe(place.type),
        params=analysis.params,
        macs=analysis.macs,
        receptive_field=(analysis.field.size[0], analysis.field.size[-1]),
        seconds=0.0,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        spec=network.spec,
        target=network.target,
        source=network.source,
        teacher=taught,
        transfer=facts,
        settings=settings_of(options),
        finished=False,
    )
    if repeats is not None:
        check_images(repeats, record, named="data" in wanted.given)
    return Plan(
        model=network.model,
        recipe=recipe,
        train=samples,
        validation=validation,
        judged_on=judged_on,
        record=record,
        verdict=rfcalc.judge(analysis, found[0]) if found and transfer is None else None,
        budget=str(found[1]) if found else "",
        options=options,
        repeats=None if wanted.resumes is not None else repeats,
        teacher=teacher,
        notice=network.notice,
        transfer=transfer,
        stages=stages,
        cached=cached,
        shares=shares_of(network.model, stages) if stages else None,
        dataset=None if transfer is None else dataset,
    )


def _spec_or_network(wanted: Wanted, device_type: str) -> NetSpec | Network:
    """Return the spec, which is built once the images are known, or the network that a target loads now.

    A resumed run loads nothing before the file has been compared with the text that its record keeps.
    """
    resumes, repeats = wanted.resumes, wanted.repeats
    if repeats is not None:
        if repeats.spec is not None:
            return NetSpec.from_json(repeats.spec)
        if resumes is not None and "repeat" not in wanted.given:
            again = f"--from {wanted.options.repeat}"
            refuse_another_file(repeats.target or repeats.network, resumes, again)
        return loaded_again(repeats)
    choice = chosen(wanted.options, device_type)
    arguments = parse_arguments(wanted.options.arguments)
    if arguments and choice.target is None:
        raise TrainingError(
            f"--arg {wanted.options.arguments[0]}: {choice.name} is built of a spec, which takes no "
            "arguments; name a class or function with --model"
        )
    if choice.spec is not None:
        return choice.spec
    target = choice.target or choice.name
    if resumes is not None and (resumes.source is not None or "model" not in wanted.given):
        refuse_another_file(target, resumes, f"--model {target}")
    return loaded(target, choice.name, arguments)


def recipe_of(options: Options, device_type: str) -> Recipe:
    """Return the recipe that the flags name, in its form for a device, with what they change in it.

    Raises:
        TrainingError: There is no such recipe, or a value breaks its rule.
    """
    asked = options.recipe
    if asked in RECIPES:
        recipe = named(asked, device_type)
    elif asked.endswith(".json"):
        try:
            recipe = Recipe.from_json(read_json(Path(asked), "--recipe"))
        except RecipeError as error:
            raise TrainingError(f"--recipe {asked}: {error}") from error
    else:
        raise TrainingError(f"--recipe {asked}: {unknown(asked, RECIPES)}, or a recipe.json")
    changes = {key: value for key in _CHANGES if (value := getattr(options, key)) is not None}
    for key in changes_of(options.changes):
        if key in changes:
            raise TrainingError(f"--set {key}: --{key} is given, too; leave one of them out")
    if options.teacher and not recipe.distill_weight:
        changes["distill_weight"] = WEIGHT
    return changed(replace(recipe, **changes), options.changes)
