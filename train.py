"""Train one network and keep everything that came of it.

    python train.py --data shapes --preset tiny --epochs 3
    python train.py --data cifar10 --preset residual --recipe standard --full

Trains on the train split alone and reports validation accuracy; `--full` trains on train and validation
together and meets the test images once. Nothing is selected on the way: the final, averaged weights are the
result.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.arguments import parse
from training.threads import wait_politely

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn

    from records.run import RunRecord
    from rfcalc.budget import Verdict
    from training.recipe import Recipe
    from training.samples import Samples

STOPPED = 130
"""Exit code after Ctrl-C, as shells use it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 it could not be done, 130 stopped."""
    options = parse(arguments)
    wait_politely()
    from rich.console import Console

    from models.errors import SpecError
    from records.codec import RecordError
    from rfcalc import RfcalcError
    from training.errors import TrainingError

    console = Console(highlight=False, soft_wrap=True)
    try:
        return _run(options, sys.argv[1:] if arguments is None else arguments, console)
    except KeyboardInterrupt:
        return STOPPED
    except (TrainingError, SpecError, RecordError, RfcalcError, OSError) as error:
        if options.debug:
            raise
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        errors.print(f"train.py: error: {error}", markup=False)
        return 2


@dataclass(frozen=True)
class Plan:
    """A run that can start: everything was checked, nothing was written."""

    model: nn.Module
    recipe: Recipe
    train: Samples
    judged_on: Samples
    """The validation images, or with --full the test images."""
    record: RunRecord
    """All but what training brings."""
    verdict: Verdict | None
    budget: str
    """Where the budget stands."""


def _run(options: argparse.Namespace, words: list[str], console: Console) -> int:
    from records.run import RunRecord
    from training import checkpoint
    from training.display import conclude, say_stopped
    from training.runfolder import CHECKPOINT, RUN, locate, make

    folder = locate(options.out, options.name, options.resume, console)
    before = RunRecord.read(folder / RUN) if (folder / RUN).is_file() else None
    if before is not None and before.finished:
        console.print(f"{folder}: this run is finished, nothing is left to resume", markup=False)
        return 0
    if before is not None:
        options, words = _as_started(options, before)
    plan = _plan(options, console)
    plan = replace(
        plan,
        record=replace(
            plan.record,
            name=folder.name,
            command=shlex.join(["python", "train.py", *words]),
            started=before.started if before else plan.record.started,
        ),
    )
    _announce(plan, folder, console)
    created = make(folder)
    try:
        with _sigterm_stops():
            record = _train(plan, options, folder, console)
    except BaseException as error:
        if created and not checkpoint.exists(folder / CHECKPOINT):
            shutil.rmtree(folder, ignore_errors=True)  # nothing to go on from: leave nothing behind
        if isinstance(error, KeyboardInterrupt):
            say_stopped(folder, console)
        raise
    conclude(record, folder, console)
    return 0


def _as_started(options: argparse.Namespace, before: RunRecord) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags that the run was started with; only what cannot change its result may differ now."""
    from training.errors import TrainingError

    words = shlex.split(before.command or "")[2:]
    started = parse(words)
    for key, value in vars(options).items():
        if key in ("out", "name", "resume", "debug") or (
            key in ("cache", "workers", "device") and value is not None
        ):
            setattr(started, key, value)
        elif value is not None and value != getattr(started, key):
            raise TrainingError(
                f"--{key} {value}: the run {before.name!r} was started with {getattr(started, key)}; "
                "leave the flag out, or choose another --name"
            )
    return started, words


def _plan(options: argparse.Namespace, console: Console) -> Plan:
    """Check everything that can be wrong before anything is trained or written."""
    import numpy as np
    import torch

    import rfcalc
    from records.environment import describe
    from records.run import RunRecord
    from rfcalc.budget import find_budget
    from training import datasets, device
    from training.evaluate import evaluate
    from training.runfolder import dataset_facts
    from training.samples import Samples

    place = device.resolve(options.device or "auto")
    recipe = _recipe(options)
    seed = options.seed or 0
    dataset = datasets.load(
        options.data, cache=options.cache or Path("data/cache"), resize=options.resize, console=console
    )
    labels = dataset.train.labels
    train, held_out = datasets.holdout(labels)
    if options.full:
        train = np.arange(len(labels))
    if options.subset is not None:
        train = datasets.subset(train, labels, options.subset, seed)
    if options.full:
        judged_on = Samples.of(dataset.test, None, dataset)
    else:
        judged_on = Samples.of(dataset.train, held_out, dataset)

    torch.manual_seed(seed)
    height, width = dataset.image_size
    model, network, spec, source = _network(options, place.type, (3, height, width), len(dataset.classes))
    analysis = rfcalc.analyze(model, input_size=(3, height, width))
    found = find_budget(
        Path(options.model.partition(":")[0]).parent if options.model else Path(__file__).parent
    )
    # Two images through the network tell whether its answers fit the classes.
    evaluate(model, replace(judged_on, images=judged_on.images[:2], labels=judged_on.labels[:2]))
    record = RunRecord(
        name="",
        network=network,
        recipe=recipe.to_json(),
        seed=seed,
        dataset=dataset_facts(dataset, len(train), 0 if options.full else len(held_out)),
        environment=describe(place.type),
        params=analysis.params,
        macs=analysis.macs,
        receptive_field=(analysis.field.size[0], analysis.field.size[-1]),
        seconds=0.0,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        spec=spec,
        target=options.model,
        source=source,
        finished=False,
    )
    return Plan(
        model=model,
        recipe=recipe,
        train=Samples.of(dataset.train, train, dataset),
        judged_on=judged_on,
        record=record,
        verdict=rfcalc.judge(analysis, found[0]) if found else None,
        budget=str(found[1]) if found else "",
    )


def _recipe(options: argparse.Namespace) -> Recipe:
    from training.errors import TrainingError
    from training.recipe import RECIPES, Recipe

    asked = options.recipe or "fast"
    if asked in RECIPES:
        recipe = RECIPES[asked]
    elif asked.endswith(".json"):
        recipe = Recipe.from_json(_json(Path(asked), "--recipe"))
    else:
        raise TrainingError(
            f"--recipe {asked}: unknown; choose one of {', '.join(RECIPES)}, or a recipe.json"
        )
    changes = {key: value for key in ("epochs", "policy") if (value := getattr(options, key)) is not None}
    return replace(recipe, **changes)


def _network(
    options: argparse.Namespace, device: str, input_size: tuple[int, int, int], classes: int
) -> tuple[nn.Module, str, dict[str, Any] | None, str | None]:
    """Return the network with fresh weights, its name, and its spec or the text of its file."""
    import rfcalc
    from models.net import build
    from models.presets import PRESETS
    from models.spec import NetSpec
    from training.errors import TrainingError

    if options.model:
        path = Path(options.model.partition(":")[0])
        model = rfcalc.load_model(options.model)
        return model, options.model, None, path.read_text(encoding="utf-8") if path.is_file() else None
    if options.spec:
        spec = NetSpec.from_json(_json(options.spec, "--spec"))
    else:
        preset = options.preset or ("tiny" if device == "cpu" else "residual")
        if preset not in PRESETS:
            raise TrainingError(f"--preset {preset}: unknown; choose one of {', '.join(PRESETS)}")
        spec = PRESETS[preset]
    # The same network, for these images and these classes.
    spec = replace(spec, input_size=input_size, classes=classes)
    return build(spec), spec.name, spec.to_json(), None


def _train(plan: Plan, options: argparse.Namespace, folder: Path, console: Console) -> RunRecord:
    from models.source import standalone_source
    from models.spec import NetSpec
    from records.files import write_json, write_text
    from reports import figures
    from training.display import Display
    from training.evaluate import evaluate
    from training.loop import fit
    from training.runfolder import CHECKPOINT, RUN, judged, write_run

    record = plan.record
    place = record.environment.device
    write_json(folder / RUN, record.to_json())
    with Display(console, plan.recipe.epochs) as display:
        history = fit(
            plan.model,
            plan.train,
            None if options.full else plan.judged_on,
            plan.recipe,
            seed=record.seed,
            device=place,
            on_epoch=display.epoch,
            checkpoint=folder / CHECKPOINT,
            resume=options.resume,
            workers=options.workers,
            deterministic=bool(options.deterministic),
            progress=display.step,
        )
    if history.notice:
        console.print(history.notice, style="yellow", markup=False)
    began = time.perf_counter()
    result = evaluate(plan.model, plan.judged_on, device=place)
    flipped = evaluate(plan.model, plan.judged_on, device=place, flip=True) if options.full else None
    trained = sum(epoch.seconds for epoch in history.epochs)
    record = replace(
        record,
        recipe=history.recipe.to_json(),
        epochs=history.epochs,
        seconds=round(trained + time.perf_counter() - began, 2),
        finished=True,
    )
    if options.full:
        record = judged(record, test=result, test_flip=flipped)
    else:
        record = judged(record, validation=result)
    classes = record.dataset.classes
    figures.save_curves(folder / "curves.png", record.epochs)
    figures.save_confusion(folder / "confusion.png", result.confusion, classes)
    figures.save_mistakes(
        folder / "mistakes.png",
        plan.judged_on.images,
        result.labels,
        result.predictions,
        result.confidence,
        classes,
    )
    if record.spec is not None:
        write_text(folder / "model.py", standalone_source(NetSpec.from_json(record.spec)))
    write_run(folder, record, plan.model, result, "test" if options.full else "validation")
    return record


def _announce(plan: Plan, folder: Path, console: Console) -> None:
    """Say what will be trained on what, and how it stands to the budget."""
    record, recipe = plan.record, plan.recipe
    data = record.dataset
    if data.notice:
        console.print(data.notice, style="bold yellow", markup=False)
    size = f"{data.image_size[0]}x{data.image_size[1]}"
    validating = f"{data.validation_images:,} to validate"
    rest = validating if data.validation_images else f"{data.test_images:,} to test"
    field = " x ".join(map(str, dict.fromkeys(record.receptive_field)))
    lines = [
        f"data      {data.title}: {data.train_images:,} images of {size} to train, {rest}",
        f"network   {record.network}: {record.params:,} parameters, {record.macs / 1e6:.1f} M MACs, "
        f"receptive field {field}",
        f"recipe    {recipe.name}: {recipe.epochs} epochs, batches of {recipe.batch_size}, "
        f"policy {recipe.policy}, on {record.environment.device}",
        f"folder    {folder}",
    ]
    if plan.verdict is None:
        lines.insert(2, "budget    none ([tool.rfcalc] in a pyproject.toml would set one)")
    elif plan.verdict.ok:
        lines.insert(2, f"budget    all {len(plan.verdict.margins)} limits of {plan.budget} hold")
    else:
        broken = "; ".join(
            f"{limit.name.replace('_', '-')} {limit.bound} (has {limit.value})"
            for limit in plan.verdict.broken
        )
        lines.insert(2, f"budget    BROKEN: {broken}; {plan.budget}")
    for line in lines:
        console.print(line, markup=False)


@contextmanager
def _sigterm_stops() -> Iterator[None]:
    """Let SIGTERM leave as cleanly as Ctrl-C."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _json(path: Path, flag: str) -> Any:
    from training.errors import TrainingError

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{flag} {path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise TrainingError(f"{flag} {path}: is not JSON ({error})") from error


if __name__ == "__main__":
    sys.exit(main())
