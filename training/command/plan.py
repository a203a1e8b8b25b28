"""A run before it starts: everything that can be wrong is found here, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Collection
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
from records.text import plural
from rfcalc import Verdict, find_budget
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
from training.command.pretrained import Transfer, asked_for
from training.command.repeat import check_images, differences, recipe_again
from training.command.teacher import WEIGHT, open_teacher
from training.data import registry as datasets
from training.data.registry import Dataset
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit import device
from training.fit.evaluate import evaluate
from training.fit.recipe import RECIPES, Recipe, RecipeError, named
from training.fit.runfolder import dataset_facts
from training.transfer.stages import Stage

_CHANGES = ("epochs", "policy", "augment", "compile")
"""Keys of a recipe that have a flag of their own."""
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    """A run that can start."""

    model: nn.Module
    recipe: Recipe
    train: Samples
    judged_on: Samples
    """The validation images, or with --full the test images."""
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
    if transfer is not None and "recipe" not in wanted.given:
        options = replace(options, recipe=TRANSFER_RECIPE)
    recipe = recipe_again(repeats, place.type) if repeats is not None else recipe_of(options, place.type)
    # What is wrong with the flags is found before images are loaded: a wrong name of a file must not cost a
    # download of 170 MB.
    torch.manual_seed(options.seed)
    network = None if transfer is not None else _spec_or_network(wanted, place.type)
    dataset = datasets.load(
        options.data,
        cache=Path(options.cache),
        resize=options.resize,
        squared=None if transfer is None else transfer.architecture.preprocessing,
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
    if transfer is not None:
        # Mapped, not copied: thousands of photographs of 150 kB each are read once.
        test = dataset.test
        judged_on = Samples(test.images, test.labels, dataset.classes, dataset.mean, dataset.std)
    elif options.full:
        judged_on = Samples.of(dataset.test, None, dataset)
    else:
        judged_on = Samples.of(dataset.train, held_out, dataset)

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
    found = find_budget(Path(options.model.partition(":")[0]).parent if options.model else _REPOSITORY)
    # A pass of two images shows whether the answers fit the classes.
    evaluate(network.model, replace(judged_on, images=judged_on.images[:2], labels=judged_on.labels[:2]))
    cached = transfer is not None and transfer.cut > 0  # then the photographs are read for their maps only
    samples = judged_on if cached else Samples.of(dataset.train, train, dataset)
    teacher, taught = open_teacher(Path(options.teacher), samples) if options.teacher else (None, None)
    record = RunRecord(
        name="",
        network=network.name,
        recipe=recipe.to_json(),
        seed=options.seed,
        dataset=dataset_facts(dataset, len(train), len(held_out)),
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
    if choice.spec is not None:
        return choice.spec
    target = choice.target or choice.name
    if resumes is not None and (resumes.source is not None or "model" not in wanted.given):
        refuse_another_file(target, resumes, f"--model {target}")
    return loaded(target, choice.name)


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
        raise TrainingError(
            f"--recipe {asked}: unknown; choose one of {', '.join(RECIPES)}, or a recipe.json"
        )
    changes = {key: value for key in _CHANGES if (value := getattr(options, key)) is not None}
    if options.teacher and not recipe.distill_weight:
        changes["distill_weight"] = WEIGHT
    return replace(recipe, **changes)


def announce(plan: Plan, folder: Path, console: Console) -> None:
    """Print data, network, budget, recipe and folder of the run, and what differs from a run it repeats."""
    record, recipe = plan.record, plan.recipe
    data = record.dataset
    if data.notice:
        console.print(data.notice, style="bold yellow", markup=False)
    size = f"{data.image_size[0]}x{data.image_size[1]}"
    validating = f"{data.validation_images:,} to validate"
    rest = validating if data.validation_images else f"{data.test_images:,} to test"
    field = " x ".join(map(str, dict.fromkeys(record.receptive_field)))
    for line in (
        f"data      {data.title}: {data.train_images:,} images of {size} to train, {rest}",
        f"network   {record.network}: {record.params:,} parameters, {record.macs / 1e6:.1f} M MACs, "
        f"receptive field {field}",
        f"budget    {_judged(plan)}",
        f"recipe    {recipe.name}: {plural(recipe.epochs, 'epoch')}, batches of {recipe.batch_size}, "
        f"policy {recipe.policy}, on {record.environment.device}{_taught(plan)}",
        f"folder    {folder}",
    ):
        console.print(line, markup=False)
    if plan.notice:
        console.print(plan.notice, style="yellow", markup=False)
    if plan.repeats is not None:
        console.print(f"repeats   {plan.repeats.name} of {plan.repeats.started}", markup=False)
        for line in differences(plan.repeats, record) or ("nothing: same code, packages and machine",):
            console.print(f"differs   {line}", markup=False)


def _taught(plan: Plan) -> str:
    teacher = plan.record.teacher
    return f", taught by {teacher.network} of {teacher.path}" if teacher else ""


def _judged(plan: Plan) -> str:
    if plan.transfer is not None:
        return "not judged: a pretrained backbone"
    if plan.verdict is None:
        return "none ([tool.rfcalc] in a pyproject.toml would set one)"
    if plan.verdict.ok:
        return f"all {len(plan.verdict.margins)} limits of {plan.budget} hold"
    broken = "; ".join(
        f"{limit.name.replace('_', '-')} {limit.bound} (has {limit.value})" for limit in plan.verdict.broken
    )
    return f"BROKEN: {broken}; {plan.budget}"
