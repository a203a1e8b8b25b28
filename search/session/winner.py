"""The last stage: the winner, trained on train and validation, meets the test images once."""

import time
from pathlib import Path

import torch

import rfcalc
from models.net import build
from models.spec import NetSpec
from records.environment import describe
from records.layout import CHECKPOINT
from records.run import EpochRecord, RunRecord
from records.settings import RunSettings
from search.session.prepare import Plan
from search.session.stop import Brake, Stopped
from search.show.display import Display
from training.data.samples import Samples
from training.fit import runfolder
from training.fit.evaluate import evaluate
from training.fit.loop import fit


def train_winner(
    plan: Plan, spec: NetSpec, folder: Path, display: Display, command: str, brake: Brake
) -> None:
    """Train the winner with its recipe fixed, evaluate it on the test images, and fill `folder`.

    Nothing is selected any more: all training images are learnt from, and the last averaged weights are those
    that count. A session that broke off here goes on at its last checkpoint.

    Raises:
        TrainingError: The training failed; the text says what to try.
        Stopped: The user said so; the epochs so far are kept.
    """
    settings, dataset = plan.settings, plan.dataset
    recipe = settings.winner_recipe
    train = Samples.of(dataset.train, None, dataset)
    torch.manual_seed(settings.seed)
    model = build(spec)
    analysis = rfcalc.analyze(model, input_size=spec.input_size)
    checkpoint = folder / CHECKPOINT
    display.stage("winner", recipe.epochs)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def on_epoch(epoch: EpochRecord) -> None:
        display.epoch(epoch, recipe.epochs)
        if brake.requested and epoch.epoch < recipe.epochs:  # its checkpoint has been written
            raise Stopped

    history = fit(
        model,
        train,
        None,
        recipe,
        seed=settings.seed,
        device=settings.device,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        resume=True,
        on_notice=lambda text: display.say(text, style="yellow"),
    )
    clock = time.perf_counter()
    test = evaluate(model, Samples.of(dataset.test, None, dataset), device=settings.device)
    evaluated = time.perf_counter() - clock
    record = RunRecord(
        name=plan.folder.path.name,
        network=spec.name,
        recipe=history.recipe.to_json(),
        seed=settings.seed,
        dataset=runfolder.dataset_facts(dataset, len(train), 0),
        environment=describe(settings.device),
        params=analysis.params,
        macs=analysis.macs,
        receptive_field=(analysis.field.size[0], analysis.field.size[1]),
        # Of all its epochs, those of an earlier session included, and of the evaluation.
        seconds=round(sum(epoch.seconds for epoch in history.epochs) + evaluated, 1),
        started=started,
        spec=spec.to_json(),
        command=command,
        settings=RunSettings(data=settings.data, cache=settings.cache, resize=settings.resize),
        epochs=history.epochs,
    )
    runfolder.write_run(folder, runfolder.judged(record, test=test), model, test, "test")
