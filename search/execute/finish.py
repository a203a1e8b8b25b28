"""The end of a training that is kept: its weights meet the test images, once, and its files are written."""

import time
from dataclasses import replace
from pathlib import Path

from torch import nn

import rfcalc
from models.net import build
from models.spec import NetSpec
from records.environment import describe
from records.run import RunRecord
from records.settings import RunSettings
from search.execute.job import Job, Keep
from training.data.registry import Dataset
from training.data.samples import Samples
from training.fit import runfolder
from training.fit.evaluate import evaluate
from training.fit.loop import History


def finish(
    job: Job, keep: Keep, started: str, model: nn.Module, history: History, dataset: Dataset, device: str
) -> None:
    """Evaluate the trained `model` on the test images and write its files into the folder of `keep`.

    Args:
        job: What was trained.
        keep: Where the files go, and what their record holds beside the training.
        started: When this attempt began; ISO 8601, UTC.
        model: With its final weights.
        history: Of its training.
        dataset: The images it was trained on, and those it is tested on.
        device: "cpu", "cuda" or "mps".

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    if keep.notice is not None:
        dataset = replace(dataset, notice=keep.notice)
    spec = NetSpec.from_json(job.spec)
    analysis = rfcalc.analyze(build(spec), input_size=spec.input_size)
    clock = time.perf_counter()
    test = evaluate(model, Samples.of(dataset.test, None, dataset), device=device)
    # Of all its epochs, those of an earlier session included, and of the evaluation.
    seconds = sum(epoch.seconds for epoch in history.epochs) + time.perf_counter() - clock
    record = RunRecord(
        name=keep.name,
        network=spec.name,
        recipe=history.recipe.to_json(),
        seed=job.seed,
        dataset=runfolder.dataset_facts(dataset, len(dataset.train), 0),
        environment=describe(device),
        params=analysis.params,
        macs=analysis.macs,
        receptive_field=(analysis.field.size[0], analysis.field.size[1]),
        seconds=round(seconds, 1),
        started=started,
        spec=spec.to_json(),
        command=keep.command,
        settings=RunSettings(data=job.data.data, cache=job.data.cache, resize=job.data.resize),
        epochs=history.epochs,
    )
    runfolder.write_run(Path(keep.folder), runfolder.judged(record, test=test), model, test, "test")
